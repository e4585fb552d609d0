//! Who can run what: capabilities by name and amount, and Python's version.

use super::*;

fn offering(supply: Supply, names: &[(&str, i64)]) -> Supply {
    Supply {
        capabilities: capabilities(names),
        ..supply
    }
}

fn all() -> [Scaling; 4] {
    let rules = vec![rule(1, "gpu", None), rule(2, "plain", None)];
    [
        Scaling::Vanilla,
        Scaling::FixedElastic,
        Scaling::Capability,
        Scaling::Waterfall(rules),
    ]
}

#[test]
fn an_amount_is_matched_by_name_and_amount() {
    // (asked, offered, whether it starts)
    let rows = [
        (("gpu", 1), ("gpu", 1), true),
        (("gpu", 2), ("gpu", 1), false),
        (("gpu", 2), ("gpu", 4), true),
        (("gpu", -1), ("gpu", 4), true),
        (("gpu", -1), ("gpu", -1), true),
        (("gpu", 1), ("gpu", -1), false),
        (("gpu", -1), ("cpu", -1), false),
    ];
    for scaling in all() {
        for (asked, offered, starts) in rows {
            let mut scaler = scaler(scaling.clone(), 0);
            let manager = [offering(supply("gpu", 0, 8), &[offered])];
            let demand = [asking(1, &[asked])];
            let desired = scaler.desired(&at(0, &demand, &manager, &[]));
            assert_eq!(
                desired.groups,
                [u32::from(starts)],
                "{asked:?} of {offered:?}"
            );
            assert_eq!(
                desired.unserved.is_empty(),
                starts,
                "{asked:?} of {offered:?}"
            );
        }
    }
}

#[test]
fn tasks_of_a_set_start_the_manager_that_offers_it() {
    for scaling in all() {
        let managers = [
            supply("plain", 0, 8),
            offering(supply("gpu", 0, 8), &[("gpu", 2)]),
        ];
        let groups = wanted(&scaling, &[asking(3, &[("gpu", 1)])], &managers);
        assert_eq!(groups, [0, 1], "{scaling:?}");
    }
}

#[test]
fn plain_slots_in_plenty_do_not_hide_that_a_set_has_none() {
    for scaling in all() {
        let plain = supply("plain", 6, 8);
        let managers = [plain, offering(supply("gpu", 0, 8), &[("gpu", -1)])];
        let groups = wanted(&scaling, &[asking(1, &[("gpu", -1)])], &managers);
        assert_eq!(groups, [0, 1], "{scaling:?}");
    }
}

#[test]
fn plain_tasks_go_to_plain_workers_unless_a_rule_says_otherwise() {
    for scaling in all() {
        let managers = [
            offering(supply("gpu", 0, 8), &[("gpu", 1)]),
            supply("plain", 0, 8),
        ];
        let ruled = matches!(scaling, Scaling::Waterfall(_));
        let groups = wanted(&scaling, &[tasks(1)], &managers);
        assert_eq!(groups, if ruled { [1, 0] } else { [0, 1] }, "{scaling:?}");
    }
}

#[test]
fn special_workers_that_are_there_do_plain_tasks_too() {
    let managers = [
        offering(supply("gpu", 2, 8), &[("gpu", 1)]),
        supply("plain", 0, 8),
    ];
    let demands = [asking(5, &[("gpu", 1)]), tasks(5)];
    assert_eq!(wanted(&Scaling::Vanilla, &demands, &managers), [2, 0]);
    assert_eq!(wanted(&Scaling::Capability, &demands, &managers), [2, 0]);
}

#[test]
fn capability_counts_each_set_by_itself() {
    let managers = [
        supply("plain", 0, 8),
        offering(supply("gpu", 0, 8), &[("gpu", 1)]),
        offering(supply("big", 0, 8), &[("gpu", 4), ("ram", 512)]),
    ];
    let demands = [
        tasks(6),
        asking(11, &[("gpu", 1)]),
        asking(1, &[("gpu", 3)]),
        asking(1, &[("ram", 256)]),
        asking(2, &[("fpga", -1)]),
        asking(0, &[("tpu", -1)]),
    ];
    let mut scaler = scaler(Scaling::Capability, 0);
    let desired = scaler.desired(&at(0, &demands, &managers, &[]));
    assert_eq!(desired.groups, [2, 3, 2]);
    assert_eq!(desired.unserved, [4]);
    // Vanilla lets them share slots: 19 tasks, two of which only `big` can run.
    assert_eq!(wanted(&Scaling::Vanilla, &demands, &managers), [0, 1, 1]);
}

#[test]
fn wound_16_what_nobody_can_ever_run_is_told_and_starts_nothing() {
    for scaling in all() {
        let mut scaler = scaler(scaling, 0);
        let full = offering(supply("gpu", 0, 0), &[("gpu", 1)]);
        let demands = [asking(9, &[("gpu", 1)]), tasks(0)];
        let desired = scaler.desired(&at(0, &demands, &[full, supply("plain", 0, 8)], &[]));
        assert_eq!((desired.groups, desired.unserved), (vec![0, 0], vec![0]));
    }
}

#[test]
fn what_somebody_could_run_if_it_were_well_is_served() {
    for scaling in all() {
        let mut scaler = scaler(scaling, 0);
        let away = Supply {
            ready: false,
            ..supply("gpu", 0, 8)
        };
        let desired = scaler.desired(&at(0, &[tasks(1)], &[away], &[]));
        assert_eq!((desired.groups, desired.unserved), (vec![0], vec![]));
    }
    let mut no = scaler(Scaling::No, 0);
    let demands = [tasks(1), asking(1, &[("gpu", 1)])];
    let desired = no.desired(&at(0, &demands, &[supply("m", 0, 8)], &[]));
    assert_eq!(desired.unserved, [1]);
    let gpu = Given {
        capabilities: capabilities(&[("gpu", 1)]),
        ..given(1)
    };
    let desired = no.desired(&at(0, &demands, &[supply("m", 0, 8)], &[gpu]));
    assert!(desired.unserved.is_empty());
}

#[test]
fn a_function_by_value_starts_only_workers_of_its_python() {
    let of = |manager, minor| Supply {
        python_minor: minor,
        ..supply(manager, 0, 8)
    };
    let demand = |minor| {
        [Demand {
            python_minor: minor,
            ..tasks(1)
        }]
    };
    let managers = [of("eleven", 11), of("twelve", 12)];
    assert_eq!(wanted(&Scaling::Vanilla, &demand(11), &managers), [1, 0]);
    assert_eq!(wanted(&Scaling::Vanilla, &demand(12), &managers), [0, 1]);
    assert_eq!(wanted(&Scaling::Vanilla, &demand(0), &managers), [1, 0]);
    let mut scaler = scaler(Scaling::Vanilla, 0);
    let desired = scaler.desired(&at(0, &demand(13), &managers, &[]));
    assert_eq!((desired.groups, desired.unserved), (vec![0, 0], vec![0]));
    // A manager that does not know its workers' version may have the right one.
    let unknown = [of("eleven", 11), of("unknown", 0)];
    assert_eq!(wanted(&Scaling::Vanilla, &demand(13), &unknown), [0, 1]);
}
