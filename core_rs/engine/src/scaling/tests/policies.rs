//! Tables: (tasks, groups there, busy ones, limit, duration) → groups, of one manager.

use super::*;

struct Row {
    tasks: u64,
    seconds: u64,
    there: u32,
    busy: u32,
    least: u32,
    most: u32,
    slots: u32,
    then: u32,
}

/// tasks, their duration in seconds (0: not known), groups there and busy, limit → groups.
fn row(tasks: u64, seconds: u64, (there, busy): (u32, u32), most: u32, then: u32) -> Row {
    Row {
        tasks,
        seconds,
        there,
        busy,
        least: 0,
        most,
        slots: 1,
        then,
    }
}

impl Row {
    fn slots(self, slots: u32) -> Row {
        Row { slots, ..self }
    }

    fn least(self, least: u32) -> Row {
        Row { least, ..self }
    }
}

fn check(scaling: &Scaling, rows: Vec<Row>) {
    for (index, row) in rows.into_iter().enumerate() {
        let manager = Supply {
            busy: row.busy,
            least: row.least,
            slots: row.slots,
            ..supply("m", row.there, row.most)
        };
        let groups = wanted(scaling, &[long(row.tasks, row.seconds)], &[manager]);
        assert_eq!(groups, [row.then], "row {index} of {scaling:?}");
    }
}

/// Common to `vanilla`, `fixed_elastic` with no fixed manager, and `waterfall_v1` with one rule.
fn ten_to_one() -> Vec<Row> {
    vec![
        // Nothing to do.
        row(0, 0, (0, 0), 8, 0),
        // The first.
        row(1, 0, (0, 0), 8, 1),
        row(10, 0, (0, 0), 8, 1),
        row(11, 0, (0, 0), 8, 2),
        row(75, 0, (0, 0), 8, 8),
        row(1_000_000, 0, (0, 0), 8, 8),
        // More than ten a slot.
        row(10, 0, (1, 1), 8, 1),
        row(11, 0, (1, 1), 8, 2),
        row(61, 0, (2, 2), 8, 7),
        row(1_000_000, 0, (3, 3), 8, 8),
        // Between one and ten it stays as it is.
        row(79, 0, (8, 8), 8, 8),
        row(8, 0, (8, 8), 8, 8),
        // Less than one: a slot for ten, but what is busy stays.
        row(7, 0, (8, 0), 8, 1),
        row(7, 0, (8, 7), 8, 7),
        row(7, 0, (8, 3), 8, 3),
        row(15, 0, (16, 0), 16, 2),
        row(0, 0, (8, 0), 8, 0),
        row(0, 0, (8, 2), 8, 2),
        // Short tasks: ten a slot.
        row(100, 1, (10, 10), 99, 10),
        // 20 s of work a slot, a start takes 10: a slot a task.
        row(100, 2, (10, 10), 99, 99),
        row(100, 2, (10, 10), 200, 100),
        row(4, 60, (0, 0), 8, 4),
        row(4, 60, (1, 1), 8, 4),
        row(4, 60, (8, 4), 8, 4),
        row(4, 60, (8, 0), 8, 4),
        // One long task needs one worker, however long.
        row(1, 100_000, (0, 0), 8, 1),
        row(1, 100_000, (1, 1), 8, 1),
        // No more than a start-up's worth of work a slot.
        row(9, 1, (1, 1), 8, 1),
        row(11, 1, (1, 1), 8, 2),
        row(10, 1, (1, 1), 8, 1),
        // Groups of several slots.
        row(1, 0, (0, 0), 8, 1).slots(4),
        row(41, 0, (0, 0), 8, 2).slots(4),
        row(80, 0, (2, 2), 8, 2).slots(4),
        row(81, 0, (2, 2), 8, 3).slots(4),
        row(5, 60, (0, 0), 8, 2).slots(4),
        row(5, 0, (2, 0), 8, 2).slots(4),
        row(4, 0, (2, 0), 8, 1).slots(4),
        // The least is wanted whatever the need is, and the limit holds.
        row(0, 0, (0, 0), 8, 2).least(2),
        row(30, 0, (2, 2), 8, 3).least(2),
        row(0, 0, (9, 9), 8, 8),
        row(5, 0, (0, 0), 0, 0),
    ]
}

#[test]
fn vanilla_has_a_slot_for_ten_tasks_or_one_for_each_that_takes_long() {
    check(&Scaling::Vanilla, ten_to_one());
}

#[test]
fn fixed_elastic_without_a_fixed_manager_is_vanilla() {
    check(&Scaling::FixedElastic, ten_to_one());
}

#[test]
fn a_waterfall_of_one_manager_is_vanilla() {
    let rules = vec![rule(1, "m", None)];
    check(&Scaling::Waterfall(rules), ten_to_one());
}

#[test]
fn capability_has_a_slot_for_five_tasks() {
    let rows = vec![
        row(0, 0, (0, 0), 8, 0),
        row(1, 0, (0, 0), 8, 1),
        row(5, 0, (1, 1), 8, 1),
        row(6, 0, (1, 1), 8, 2),
        row(36, 0, (0, 0), 8, 8),
        row(1_000_000, 0, (0, 0), 8, 8),
        row(8, 0, (8, 8), 8, 8),
        row(7, 0, (8, 0), 8, 2),
        row(7, 0, (8, 7), 8, 7),
        row(0, 0, (8, 0), 8, 0),
        row(4, 60, (1, 1), 8, 4),
        row(21, 0, (0, 0), 8, 2).slots(4),
        row(0, 0, (0, 0), 8, 2).least(2),
    ];
    check(&Scaling::Capability, rows);
}

#[test]
fn no_asks_for_nothing_but_the_least() {
    let rows = vec![
        row(1_000, 0, (0, 0), 8, 0),
        row(1_000, 60, (3, 3), 8, 3),
        row(0, 0, (3, 0), 8, 3),
        row(0, 0, (1, 0), 8, 2).least(2),
        row(0, 0, (0, 0), 4, 4).least(4),
    ];
    check(&Scaling::No, rows);
}

#[test]
fn what_a_slow_start_is_worth_differs() {
    let groups = |startup| {
        let manager = Supply {
            startup_us: startup * SECOND,
            busy: 1,
            ..supply("m", 1, 8)
        };
        wanted(&Scaling::Vanilla, &[long(8, 5)], &[manager])
    };
    // 40 s of work for one slot.
    assert_eq!(groups(1), [8]);
    assert_eq!(groups(39), [8]);
    assert_eq!(groups(40), [1]);
    assert_eq!(groups(300), [1]);
}
