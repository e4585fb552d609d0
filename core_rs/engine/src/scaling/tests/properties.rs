//! What holds of every policy, whatever the demand, the managers and the moments at which it is asked.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::pour::{Pour, SLOT};
use super::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn offer() -> impl Strategy<Value = Capabilities> {
    let amounts = vec(option::of(prop_oneof![Just(-1), 1..4i64]), NAMES.len());
    amounts.prop_map(|amounts| {
        let named = NAMES.iter().zip(amounts);
        let there = named.filter_map(|(&name, amount)| Some((name, amount?)));
        capabilities(&there.collect::<Vec<_>>())
    })
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..12u64, 1..200u64, Just(1_000_000)]
}

fn demand(means: &'static [u64]) -> impl Strategy<Value = Demand> {
    let mean = proptest::sample::select(means);
    // Mostly modest wishes, which somebody can fulfil.
    let wish = prop_oneof![Just(Capabilities::new()), offer()];
    (wish, 0..2u8, count(), mean).prop_map(|(capabilities, minor, tasks, mean_us)| Demand {
        capabilities,
        python_minor: minor * 11,
        tasks,
        mean_us,
    })
}

/// Of which none ask for the same.
fn demands(means: &'static [u64]) -> impl Strategy<Value = Vec<Demand>> {
    vec(demand(means), 0..5).prop_map(|mut all| {
        all.sort_by(|one, other| {
            let key = |it: &Demand| (it.capabilities.clone(), it.python_minor);
            key(one).cmp(&key(other))
        });
        all.dedup_by(|one, other| {
            one.capabilities == other.capabilities && one.python_minor == other.python_minor
        });
        all
    })
}

fn managers() -> impl Strategy<Value = Vec<Supply>> {
    let minor = proptest::sample::select(vec![0, 11, 12]);
    let limits = (0..12u32, 0..3u32, 1..5u32);
    let there = (0..12u32, 0..12u32, proptest::bool::weighted(0.9));
    let startup = proptest::sample::select(vec![0, SECOND, 10 * SECOND, 300 * SECOND]);
    let one = (offer(), minor, limits, there, startup);
    let one = one.prop_map(|(capabilities, python_minor, limits, there, startup_us)| {
        let ((most, least, slots), (groups, busy, ready)) = (limits, there);
        Supply {
            manager: String::new(),
            most,
            least: least.min(most),
            slots,
            capabilities,
            python_minor,
            startup_us,
            groups: groups.min(most),
            busy: busy.min(groups).min(most),
            ready,
            cooldown_us: None,
        }
    });
    vec(one, 0..5).prop_map(|mut all| {
        for (index, supply) in all.iter_mut().enumerate() {
            supply.manager = format!("m{index}");
        }
        all
    })
}

fn nodes() -> impl Strategy<Value = Vec<Given>> {
    let one = (offer(), 11..13u8, 0..20u64);
    let one = one.prop_map(|(capabilities, python_minor, slots)| Given {
        capabilities,
        python_minor,
        slots,
    });
    vec(one, 0..2)
}

fn policy() -> impl Strategy<Value = Scaling> {
    let rule = (0..3i64, 0..5usize, option::of(0..20u32));
    let rules = vec(rule, 1..5).prop_map(|rules| {
        let mut named: BTreeMap<usize, Rule> = BTreeMap::new();
        for (priority, manager, cap) in rules {
            named.insert(manager, super::rule(priority, &format!("m{manager}"), cap));
        }
        Scaling::Waterfall(named.into_values().collect())
    });
    prop_oneof![
        Just(Scaling::No),
        Just(Scaling::Vanilla),
        Just(Scaling::FixedElastic),
        Just(Scaling::Capability),
        rules,
    ]
}

const MEANS: &[u64] = &[0, 10, SECOND, 20 * SECOND, 3_600 * SECOND];
const KNOWN: &[u64] = MEANS.split_at(1).1;

/// Tasks sit in all slots that fit; groups with one are busy.
fn occupy(demands: &[Demand], supplies: &mut [Supply], given: &[Given]) {
    let scaling = Scaling::Vanilla;
    let there = supplies.to_vec();
    let plan = plan::Plan::new(&scaling, &at(0, demands, &there, given));
    let slots = there
        .iter()
        .map(|it| u128::from(it.slots) * u128::from(it.groups));
    let slots = slots.chain(given.iter().map(|it| u128::from(it.slots)));
    let mut pour = Pour::new(&plan.fits, slots.map(|it| it * SLOT).collect());
    for (index, demand) in demands.iter().enumerate() {
        pour.place(index, u128::from(demand.tasks) * SLOT);
    }
    for (index, supply) in supplies.iter_mut().enumerate() {
        let filled = pour.filled(index).div_ceil(SLOT * u128::from(supply.slots));
        // What was busy stays so until its task ends, which it does not while demand is constant.
        supply.busy = (filled as u32).max(supply.busy).min(supply.groups);
    }
}

struct Story {
    started: Vec<u64>,
    stopped: Vec<u64>,
    /// In an earlier look, of any manager.
    started_after_a_stop: bool,
    /// The same of one manager.
    restarted: bool,
}

/// Managers that do at once what they are told, asked at `steps`; `demands` may differ from step to step.
fn follow<'a>(
    scaling: &Scaling,
    cooldown: u64,
    steps: &[u64],
    demands: impl Fn(u64) -> &'a [Demand],
    supplies: &mut [Supply],
    given: &[Given],
    boots: bool,
) -> Story {
    let mut scaler = scaler(scaling.clone(), cooldown);
    let mut story = Story {
        started: vec![0; supplies.len()],
        stopped: vec![0; supplies.len()],
        started_after_a_stop: false,
        restarted: false,
    };
    let mut now = 0;
    for step in steps {
        let demands = demands(now);
        if !boots {
            supplies.iter_mut().for_each(|it| it.busy = 0);
            occupy(demands, supplies, given);
        }
        let desired = scaler.desired(&at(now, demands, supplies, given));
        let stopped = story.stopped.iter().any(|&it| it > 0);
        for (index, supply) in supplies.iter_mut().enumerate() {
            let groups = desired.groups[index];
            if groups > supply.groups {
                story.started_after_a_stop |= stopped;
                story.restarted |= story.stopped[index] > 0;
                story.started[index] += u64::from(groups - supply.groups);
            } else {
                story.stopped[index] += u64::from(supply.groups - groups);
            }
            supply.groups = groups;
        }
        now += step;
    }
    story
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn never_below_busy_never_past_limits_and_always_the_least(
        scaling in policy(),
        looks in vec((demands(MEANS), managers(), nodes(), 0..40u64), 1..6),
    ) {
        let mut scaler = scaler(scaling.clone(), 30);
        let mut now = 0;
        for (demands, supplies, given, step) in &looks {
            now += step;
            let desired = scaler.desired(&at(now, demands, supplies, given));
            prop_assert_eq!(desired.groups.len(), supplies.len());
            for (supply, &groups) in supplies.iter().zip(&desired.groups) {
                prop_assert!(supply.least.max(supply.busy) <= groups && groups <= supply.most);
                prop_assert!(supply.ready || groups <= supply.groups.max(supply.least));
                let asks = *scaling_of(&scaler) != Scaling::No;
                prop_assert!(asks || groups == supply.groups.max(supply.least));
            }
            prop_assert!(desired.unserved.iter().all(|&it| demands[it].tasks > 0));
            prop_assert!(scaler.next_wakeup().is_none_or(|at| at > 1_000 * SECOND + now * SECOND));
        }
    }

    #[test]
    fn wound_1_constant_demand_starts_nothing_after_a_stop(
        scaling in policy(),
        demands in demands(KNOWN),
        mut supplies in managers(),
        given in nodes(),
        cooldown in prop_oneof![Just(0), Just(30u64)],
        steps in vec(0..25u64, 40),
        boots in any::<bool>(),
    ) {
        let story = follow(&scaling, cooldown, &steps, |_| &demands, &mut supplies, &given, boots);
        prop_assert!(!story.started_after_a_stop, "{:?} {:?}", story.started, story.stopped);
    }

    #[test]
    fn wound_1_constant_demand_of_unknown_duration_starts_nothing_after_a_stop(
        scaling in policy(),
        demands in demands(&[0]),
        mut supplies in managers(),
        given in nodes(),
        steps in vec(0..25u64, 40),
    ) {
        let story = follow(&scaling, 30, &steps, |_| &demands, &mut supplies, &given, false);
        prop_assert!(!story.restarted, "{:?} {:?}", story.started, story.stopped);
    }

    #[test]
    fn wound_2_demand_is_counted_once_while_units_boot(
        scaling in policy(),
        demands in demands(MEANS),
        mut supplies in managers(),
        steps in vec(0..25u64, 20),
    ) {
        for supply in &mut supplies {
            supply.busy = 0;
        }
        let mut scaler = scaler(scaling, 30);
        let mut look = |now, supplies: &mut [Supply]| {
            let desired = scaler.desired(&at(now, &demands, supplies, &[]));
            for (supply, groups) in supplies.iter_mut().zip(desired.groups) {
                supply.groups = groups;
            }
        };
        look(0, &mut supplies);
        let first: Vec<u32> = supplies.iter().map(|it| it.groups).collect();
        let mut now = 0;
        for step in steps {
            now += step;
            look(now, &mut supplies);
            for (supply, &first) in supplies.iter().zip(&first) {
                prop_assert!(supply.groups <= first);
            }
        }
    }

    #[test]
    fn wound_1_a_square_wave_at_half_the_cooldown_starts_each_worker_at_most_once(
        scaling in policy(),
        high in demands(MEANS),
        low in 0..3u64,
        mut supplies in managers(),
        period in 1..16u64,
    ) {
        let mut few = high.clone();
        few.iter_mut().for_each(|it| it.tasks = it.tasks.min(low));
        for supply in &mut supplies {
            (supply.groups, supply.busy, supply.ready) = (0, 0, true);
        }
        let wave = |now: u64| if (now / period).is_multiple_of(2) { &high[..] } else { &few[..] };
        let story = follow(&scaling, 30, &[1; 300], wave, &mut supplies, &[], false);
        for (supply, started) in supplies.iter().zip(&story.started) {
            prop_assert!(*started <= u64::from(supply.most), "{started} of {}", supply.most);
        }
        prop_assert!(!story.restarted, "{:?} {:?}", story.started, story.stopped);
    }

    #[test]
    fn what_fits_is_what_the_narrowest_place_lets_through(
        fits in vec(vec(0..4usize, 0..4), 1..6),
        room in vec(0..9u128, 4),
        work in vec(0..9u128, 6),
    ) {
        let mut pour = Pour::new(&fits, room.clone());
        let left: Vec<u128> = (0..fits.len()).map(|it| pour.place(it, work[it])).collect();
        // Hall: for each set of demands, what they ask for beyond all the bins that they may use.
        let most = (0..1u32 << fits.len()).map(|set| {
            let within = (0..fits.len()).filter(|it| set >> it & 1 == 1);
            let asked: u128 = within.clone().map(|it| work[it]).sum();
            let bins = (0..4).filter(|bin| within.clone().any(|it| fits[it].contains(bin)));
            asked.saturating_sub(bins.map(|bin| room[bin]).sum())
        });
        prop_assert_eq!(left.iter().sum::<u128>(), most.max().unwrap_or(0));
        // Room that comes later is found, too.
        for bin in 0..4 {
            pour.enlarge(bin, 60);
        }
        for (demand, left) in left.into_iter().enumerate() {
            prop_assert!(pour.place(demand, left) == 0 || fits[demand].is_empty());
        }
    }

    #[test]
    fn whoever_can_be_served_has_a_slot(
        scaling in policy(),
        demands in demands(MEANS),
        mut supplies in managers(),
        given in nodes(),
    ) {
        supplies.iter_mut().for_each(|it| it.ready = true);
        let mut scaler = scaler(scaling.clone(), 30);
        let snapshot = at(0, &demands, &supplies, &given);
        let desired = scaler.desired(&snapshot);
        let plan = plan::Plan::new(&scaling, &snapshot);
        for (index, demand) in demands.iter().enumerate() {
            let slots = |bin: &usize| match bin.checked_sub(supplies.len()) {
                Some(node) => given[node].slots,
                None => u64::from(desired.groups[*bin]),
            };
            let has = plan.fits[index].iter().map(slots).sum::<u64>() > 0;
            let hopeless = desired.unserved.contains(&index) || scaling == Scaling::No;
            prop_assert!(has || hopeless || demand.tasks == 0, "{demand:?}");
        }
    }

    #[test]
    fn wound_overshoot_nothing_starts_that_has_no_task_to_take(
        scaling in policy(),
        demands in demands(MEANS),
        mut supplies in managers(),
    ) {
        for supply in &mut supplies {
            (supply.groups, supply.busy, supply.least) = (0, 0, 0);
        }
        let groups = scaler(scaling.clone(), 30).desired(&at(0, &demands, &supplies, &[])).groups;
        let tasks: u64 = demands.iter().map(|it| it.tasks).sum();
        let started: u64 = groups.iter().map(|&it| u64::from(it)).sum();
        // A fixed manager starts as a whole.
        prop_assert!(started <= tasks || scaling == Scaling::FixedElastic);
    }
}

fn scaling_of(scaler: &Scaler) -> &Scaling {
    &scaler.config().scaling
}
