//! Joining, and the end.

use super::rig::*;
use crate::scheduler::SchedulerConfig;
use crate::wire::{Message, RefusalCode, Role};

#[test]
fn a_node_gets_nothing_before_it_has_told_what_it_holds() {
    let mut rig = Rig::new();
    rig.submit(0, 1);
    rig.join_node(10, 1, &[], 11, 0);
    assert_eq!(rig.assigned_count(10), 0);
    rig.hold(10, &[]);
    assert_eq!(rig.assigned_count(10), 1);
}

#[test]
fn who_has_no_business_here_is_refused() {
    let mut rig = Rig::new();
    for role in [Role::Objects, Role::Scheduler, Role::Node] {
        let joined = rig
            .scheduler
            .joined(rig.now, 9, &hello(role, 0, None), "here");
        assert_eq!(joined.unwrap_err().0, RefusalCode::Malformed);
    }
    let joined = rig
        .scheduler
        .joined(rig.now, 9, &hello(Role::Client, SESSION, None), "here");
    assert_eq!(joined.unwrap_err().0, RefusalCode::Duplicate);
}

#[test]
fn shutdown_ends_everybody() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.say(CLIENT, Message::Shutdown { request: 3 });
    let told = rig.told(CLIENT);
    assert!(matches!(
        &told[..],
        [
            Message::Answer {
                request: 3,
                ok: true,
                ..
            },
            Message::Closing { .. }
        ]
    ));
    assert!(matches!(rig.told(10).last(), Some(Message::Exit { .. })));
    assert!(rig.exit.is_some());
    let joined = rig
        .scheduler
        .joined(rig.now, 5, &hello(Role::Client, 5, None), "here");
    assert_eq!(joined.unwrap_err().0, RefusalCode::Closing);
}

#[test]
fn a_protected_scheduler_is_not_shut_down_by_a_client() {
    let mut rig = Rig::with(SchedulerConfig {
        protected: true,
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    rig.say(CLIENT, Message::Shutdown { request: 3 });
    assert!(matches!(
        &rig.told(CLIENT)[..],
        [Message::Answer { ok: false, .. }]
    ));
    assert!(rig.exit.is_none());
}

#[test]
fn a_node_that_is_told_to_drain_gets_no_more() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.scheduler.drain_node(rig.now, 10);
    rig.turn();
    assert!(rig.told(10).contains(&Message::Drain));
    rig.submit(0, 1);
    assert_eq!(rig.assigned_count(10), 0);
    rig.give_back(10, &[]);
    rig.say(10, Message::Drained);
    assert_eq!(rig.assigned_count(10), 0);
}
