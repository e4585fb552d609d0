//! How often the scheduler is told.

use super::rig::{Rig, SECOND};
use crate::wire::GroupState;

#[test]
fn the_first_status_comes_with_the_first_heartbeat_and_others_follow_in_time() {
    let mut rig = Rig::new();
    assert_eq!(rig.statuses.len(), 1);
    rig.run_for(20 * SECOND, &[]);
    assert_eq!(rig.statuses.len(), 11);
}

#[test]
fn changes_are_told_soon_and_many_at_once() {
    let mut rig = Rig::new();
    rig.told();
    let before = rig.statuses.len();
    for name in ["a", "b", "c", "d"] {
        rig.name(name);
        rig.pass(1_000);
    }
    assert!(rig.statuses.len() <= before + 1);
    rig.pass(50_000);
    assert_eq!(rig.status().groups.len(), 4);
    assert!(rig.statuses.len() <= before + 2);
}

#[test]
fn a_status_is_of_all_groups_in_the_order_in_which_they_were_named() {
    let mut rig = Rig::new();
    ["c", "a", "b"].iter().for_each(|it| rig.name(it));
    let status = rig.told();
    let names: Vec<&str> = status.groups.iter().map(|it| it.group.as_str()).collect();
    assert_eq!(names, ["c", "a", "b"]);
    assert!(status
        .groups
        .iter()
        .all(|it| it.state == GroupState::Wanted));
    assert!(!status.leaving && status.trouble.is_empty());
}
