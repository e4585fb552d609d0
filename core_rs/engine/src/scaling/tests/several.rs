//! Several managers: need is split once.

use super::*;

fn busy(supply: Supply, busy: u32) -> Supply {
    Supply { busy, ..supply }
}

#[test]
fn wound_overshoot_several_managers_share_one_need() {
    let managers = [supply("a", 0, 8), supply("b", 0, 8), supply("c", 0, 8)];
    for (count, groups) in [
        (1, [1, 0, 0]),
        (80, [8, 0, 0]),
        (100, [8, 2, 0]),
        (999, [8, 8, 8]),
    ] {
        assert_eq!(
            wanted(&Scaling::Vanilla, &[tasks(count)], &managers),
            groups
        );
    }
}

#[test]
fn what_starts_sooner_comes_first() {
    let slow = Supply {
        startup_us: 300 * SECOND,
        ..supply("aws", 0, 8)
    };
    let managers = [slow, supply("native", 0, 8)];
    assert_eq!(wanted(&Scaling::Vanilla, &[tasks(100)], &managers), [2, 8]);
}

#[test]
fn tasks_that_a_slow_start_would_come_too_late_for_do_not_start_it() {
    let slow = Supply {
        startup_us: 300 * SECOND,
        ..supply("aws", 0, 100)
    };
    let managers = [slow, busy(supply("native", 4, 4), 4)];
    // 40 tasks for four slots: 50 s of work a slot are more than 10 s and less than 300.
    assert_eq!(wanted(&Scaling::Vanilla, &[long(40, 5)], &managers), [0, 4]);
    assert_eq!(
        wanted(&Scaling::Vanilla, &[long(40, 50)], &managers),
        [36, 4]
    );
}

#[test]
fn one_that_cannot_start_now_leaves_its_share_to_the_next() {
    let broken = Supply {
        ready: false,
        ..supply("a", 1, 8)
    };
    let managers = [broken, supply("b", 0, 8)];
    assert_eq!(wanted(&Scaling::Vanilla, &[tasks(60)], &managers), [1, 5]);
}

#[test]
fn the_least_of_one_that_cannot_start_is_no_supply() {
    let broken = Supply {
        ready: false,
        least: 4,
        ..supply("a", 0, 8)
    };
    let managers = [broken, supply("b", 0, 8)];
    assert_eq!(wanted(&Scaling::Vanilla, &[tasks(30)], &managers), [4, 3]);
    let well = Supply {
        ready: true,
        ..managers[0].clone()
    };
    assert_eq!(
        wanted(&Scaling::Vanilla, &[tasks(30)], &[well, supply("b", 0, 8)]),
        [4, 0]
    );
}

#[test]
fn what_was_filled_last_is_drained_first() {
    let managers = [supply("a", 4, 4), supply("b", 4, 4), supply("c", 4, 4)];
    assert_eq!(wanted(&Scaling::Vanilla, &[tasks(9)], &managers), [4, 4, 0]);
    assert_eq!(wanted(&Scaling::Vanilla, &[tasks(3)], &managers), [1, 0, 0]);
    // Whoever is busy is kept before whoever comes first.
    let managers = [supply("a", 4, 4), busy(supply("b", 4, 4), 3)];
    assert_eq!(wanted(&Scaling::Vanilla, &[tasks(3)], &managers), [0, 3]);
}

#[test]
fn nodes_of_no_manager_are_supply() {
    let mut scaler = scaler(Scaling::Vanilla, 0);
    let mut with = |count: u64, there: u32| {
        let managers = [supply("m", there, 8)];
        scaler
            .desired(&at(0, &[tasks(count)], &managers, &[given(4)]))
            .groups[0]
    };
    assert_eq!(with(40, 0), 0);
    assert_eq!(with(41, 0), 1);
    assert_eq!(with(60, 0), 2);
    assert_eq!(with(5, 1), 1);
    assert_eq!(with(4, 1), 0);
}

#[test]
fn a_fixed_manager_comes_first_and_stays() {
    let fixed = Supply {
        least: 1,
        slots: 4,
        ..supply("z-fixed", 1, 1)
    };
    let slow = Supply {
        startup_us: 300 * SECOND,
        ..fixed
    };
    let elastic = |groups| supply("elastic", groups, 8);
    let wanted = |count, groups| {
        wanted(
            &Scaling::FixedElastic,
            &[tasks(count)],
            &[elastic(groups), slow.clone()],
        )
    };
    assert_eq!(wanted(0, 0), [0, 1]);
    assert_eq!(wanted(40, 0), [0, 1]);
    assert_eq!(wanted(41, 0), [1, 1]);
    assert_eq!(wanted(90, 0), [5, 1]);
    assert_eq!(wanted(999, 0), [8, 1]);
    assert_eq!(wanted(7, 4), [0, 1]);
    assert_eq!(wanted(0, 4), [0, 1]);
}

#[test]
fn a_limit_of_one_makes_a_manager_fixed_from_the_first_task_on() {
    let wanted = |count, groups| {
        let managers = [supply("a", 0, 8), supply("one", groups, 1)];
        wanted(&Scaling::FixedElastic, &[tasks(count)], &managers)
    };
    assert_eq!(wanted(0, 0), [0, 0]);
    assert_eq!(wanted(1, 0), [0, 1]);
    assert_eq!(wanted(0, 1), [0, 1]);
    assert_eq!(wanted(21, 1), [2, 1]);
}

#[test]
fn a_waterfall_is_filled_by_priority_into_caps() {
    let rules = Scaling::Waterfall(vec![
        rule(20, "cloud", None),
        rule(-1, "local", Some(4)),
        rule(10, "site", Some(6)),
    ]);
    let managers = |local, site, cloud| {
        let four = Supply {
            slots: 4,
            ..supply("site", site, 9)
        };
        [supply("cloud", cloud, 50), four, supply("local", local, 8)]
    };
    let wanted = |count, (local, site, cloud)| {
        let groups = wanted(&rules, &[tasks(count)], &managers(local, site, cloud));
        (groups[2], groups[1], groups[0])
    };
    assert_eq!(wanted(1, (0, 0, 0)), (1, 0, 0));
    assert_eq!(wanted(40, (0, 0, 0)), (4, 0, 0));
    // A cap of six is two groups of four, as a limit of six workers would be.
    assert_eq!(wanted(41, (0, 0, 0)), (4, 1, 0));
    assert_eq!(wanted(81, (0, 0, 0)), (4, 2, 0));
    assert_eq!(wanted(121, (0, 0, 0)), (4, 2, 1));
    assert_eq!(wanted(9_999, (0, 0, 0)), (4, 2, 50));
    // Drained in reverse.
    assert_eq!(wanted(12, (4, 2, 5)), (4, 2, 0));
    assert_eq!(wanted(5, (4, 2, 5)), (4, 0, 0));
    assert_eq!(wanted(3, (4, 2, 5)), (1, 0, 0));
    assert_eq!(wanted(0, (4, 2, 5)), (0, 0, 0));
}

#[test]
fn a_manager_without_a_rule_is_left_alone_and_told() {
    let rules = Scaling::Waterfall(vec![rule(1, "ruled", None), rule(2, "elsewhere", None)]);
    let mut scaler = scaler(rules, 0);
    let managers = [supply("wild", 3, 9), supply("ruled", 0, 9)];
    let desired = scaler.desired(&at(0, &[tasks(30)], &managers, &[]));
    assert_eq!(desired.groups, [3, 0]);
    assert_eq!(desired.unruled, [0]);
    let desired = scaler.desired(&at(0, &[tasks(40)], &managers, &[]));
    assert_eq!(desired.groups, [3, 1]);
    let desired = scaler.desired(&at(0, &[], &managers, &[]));
    assert_eq!(desired.groups, [3, 0]);
    // Nobody would start it, so tasks that only it could run are nobody's.
    let managers = [Supply {
        capabilities: capabilities(&[("gpu", -1)]),
        ..supply("wild", 0, 9)
    }];
    let desired = scaler.desired(&at(0, &[asking(1, &[("gpu", -1)])], &managers, &[]));
    assert_eq!((desired.groups, desired.unserved), (vec![0], vec![0]));
}

#[test]
fn a_cap_of_nothing_drains_a_manager() {
    let rules = Scaling::Waterfall(vec![rule(1, "a", Some(0)), rule(2, "b", None)]);
    let managers = [supply("a", 0, 9), supply("b", 0, 9)];
    assert_eq!(wanted(&rules, &[tasks(20)], &managers), [0, 2]);
}

#[test]
fn what_one_manager_stops_no_other_that_starts_sooner_would_miss() {
    let slow = Supply {
        startup_us: 300 * SECOND,
        ..supply("slow", 10, 10)
    };
    let quick = Supply {
        startup_us: SECOND,
        ..supply("quick", 4, 8)
    };
    // None is up yet. Nine tasks want a slot each by the quick one's measure: it has four, so five of the slow one stay.
    let mut managers = [quick, slow];
    assert_eq!(wanted(&Scaling::Vanilla, &[long(9, 5)], &managers), [4, 5]);
    managers[1].groups = 5;
    assert_eq!(wanted(&Scaling::Vanilla, &[long(9, 5)], &managers), [4, 5]);
}

#[test]
fn a_quick_start_counts_only_for_tasks_that_it_is_for() {
    let gpus = Supply {
        startup_us: 300 * SECOND,
        capabilities: capabilities(&[("gpu", 4)]),
        ..busy(supply("gpus", 4, 99), 4)
    };
    let managers = [supply("plain", 0, 8), gpus];
    let short = Demand {
        mean_us: 5 * SECOND,
        ..asking(40, &[("gpu", 1)])
    };
    let hours = Demand {
        mean_us: 3_600 * SECOND,
        ..asking(3, &[("gpu", 2)])
    };
    // Three long ones get a slot each; forty short ones, done before a slow start would be, one for ten.
    assert_eq!(
        wanted(&Scaling::Vanilla, &[short, hours], &managers),
        [0, 7]
    );
}
