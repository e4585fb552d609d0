//! What happens over time: the cool-down, and tasks of which none has ended.

use super::*;

/// One manager that does at once what is wanted of it.
struct Rig {
    scaler: Scaler,
    manager: Supply,
}

impl Rig {
    fn new(cooldown: u64) -> Self {
        Rig {
            scaler: scaler(Scaling::Vanilla, cooldown),
            manager: supply("m", 0, 8),
        }
    }

    fn look(&mut self, seconds: u64, demand: Demand) -> u32 {
        let managers = [self.manager.clone()];
        let desired = self.scaler.desired(&at(seconds, &[demand], &managers, &[]));
        self.manager.groups = desired.groups[0];
        self.manager.groups
    }

    /// In seconds, as `look` counts them.
    fn wakeup(&self) -> Option<u64> {
        self.scaler.next_wakeup().map(|at| at / SECOND - 1_000)
    }
}

#[test]
fn nothing_shrinks_within_a_cooldown_of_a_growth() {
    let mut rig = Rig::new(30);
    assert_eq!(rig.look(0, tasks(80)), 8);
    assert_eq!(rig.look(1, tasks(0)), 8);
    assert_eq!(rig.wakeup(), Some(31));
    assert_eq!(rig.look(30, tasks(0)), 8);
    assert_eq!(rig.look(31, tasks(0)), 0);
    assert_eq!(rig.wakeup(), None);
}

#[test]
fn demand_must_be_low_for_the_whole_cooldown() {
    let mut rig = Rig::new(30);
    rig.look(0, tasks(80));
    rig.look(100, tasks(0));
    // For a moment each of eight slots had a task.
    assert_eq!(rig.look(120, tasks(8)), 8);
    assert_eq!(rig.look(121, tasks(0)), 8);
    assert_eq!(rig.look(150, tasks(0)), 8);
    assert_eq!(rig.look(151, tasks(0)), 0);
}

#[test]
fn it_shrinks_to_the_most_that_was_wanted_meanwhile() {
    let mut rig = Rig::new(30);
    rig.look(0, tasks(80));
    rig.look(10, tasks(0));
    rig.look(20, long(3, 60));
    rig.look(21, tasks(0));
    assert_eq!(rig.look(40, tasks(0)), 3);
    assert_eq!(rig.wakeup(), Some(51));
    assert_eq!(rig.look(51, tasks(0)), 0);
}

#[test]
fn without_a_cooldown_it_shrinks_at_once() {
    let mut rig = Rig::new(0);
    assert_eq!(rig.look(0, tasks(80)), 8);
    assert_eq!(rig.look(0, tasks(0)), 0);
    assert_eq!(rig.wakeup(), None);
}

#[test]
fn a_managers_own_cooldown_counts_for_its_groups() {
    let mut scaler = scaler(Scaling::Vanilla, 30);
    let managers = [
        Supply {
            cooldown_us: Some(0),
            ..supply("own", 4, 8)
        },
        supply("common", 4, 8),
        Supply {
            cooldown_us: Some(60 * SECOND),
            ..supply("patient", 4, 8)
        },
    ];
    let mut look = |seconds| scaler.desired(&at(seconds, &[], &managers, &[])).groups;
    assert_eq!(look(0), [0, 4, 4]);
    assert_eq!(look(30), [0, 0, 4]);
    assert_eq!(look(60), [0, 0, 0]);
}

#[test]
fn what_is_found_at_first_sight_is_given_a_cooldown() {
    // A scheduler that came back adopts groups before clients have told it what they want.
    let mut rig = Rig::new(30);
    rig.manager.groups = 6;
    assert_eq!(rig.look(0, tasks(0)), 6);
    assert_eq!(rig.wakeup(), Some(30));
    assert_eq!(rig.look(30, tasks(0)), 0);
}

#[test]
fn a_manager_that_was_away_is_given_a_cooldown() {
    let mut scaler = scaler(Scaling::Vanilla, 30);
    let managers = [supply("m", 4, 8)];
    scaler.desired(&at(0, &[], &managers, &[]));
    scaler.desired(&at(20, &[], &[], &[]));
    assert_eq!(scaler.next_wakeup(), None);
    assert_eq!(scaler.desired(&at(40, &[], &managers, &[])).groups, [4]);
    assert_eq!(scaler.desired(&at(70, &[], &managers, &[])).groups, [0]);
}

#[test]
fn a_cooldown_keeps_what_is_there_and_starts_nothing() {
    let mut rig = Rig::new(30);
    rig.look(0, tasks(80));
    rig.look(1, tasks(0));
    // Five of them died: nobody wants them any more.
    rig.manager.groups = 3;
    assert_eq!(rig.look(2, tasks(0)), 3);
}

#[test]
fn a_task_that_runs_for_long_tells_how_long_tasks_take() {
    let mut rig = Rig::new(30);
    assert_eq!(rig.look(0, tasks(4)), 1);
    assert_eq!(rig.wakeup(), None);
    rig.manager.busy = 1;
    assert_eq!(rig.look(5, tasks(4)), 1);
    // Four tasks for one slot, a start takes 10 s: after 2.5 s of the first it is too much.
    assert_eq!(rig.wakeup(), Some(7));
    assert_eq!(rig.look(7, tasks(4)), 1);
    assert_eq!(rig.look(8, tasks(4)), 4);
    assert_eq!(rig.look(1_000, tasks(4)), 4);
}

#[test]
fn a_measured_duration_takes_the_place_of_what_one_could_only_see() {
    let mut rig = Rig::new(30);
    rig.look(0, tasks(4));
    rig.manager.busy = 1;
    rig.look(1, tasks(4));
    assert_eq!(
        rig.look(
            9,
            Demand {
                mean_us: 1_000,
                ..tasks(4)
            }
        ),
        1
    );
    assert_eq!(rig.wakeup(), None);
    assert_eq!(rig.look(10, tasks(4)), 1);
    assert_eq!(rig.look(11, tasks(4)), 1);
}

#[test]
fn starting_groups_are_supply() {
    let mut rig = Rig::new(30);
    for second in 0..20 {
        assert_eq!(rig.look(second, tasks(35)), 4);
    }
}
