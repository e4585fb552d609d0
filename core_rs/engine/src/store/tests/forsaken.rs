//! Sessions that nobody seems to have any more.

use super::*;

/// What the store asks a scheduler, and when, after one came.
fn asked(rig: &mut Rig, now: u64) -> Vec<Message<Bytes>> {
    rig.store.tick(now);
    rig.absorb();
    rig.told(SCHEDULER)
}

#[test]
fn the_scheduler_is_asked_of_the_sessions_that_have_objects() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.store.found(
        ObjectKey {
            session: 4,
            hash: [1; 16],
        },
        20,
        7,
    );
    assert_eq!(asked(&mut rig, 9_999_999), vec![]);
    let ask = |session| Message::DeleteSession { session };
    assert_eq!(asked(&mut rig, 10_000_000), vec![ask(4), ask(9)]);
    assert_eq!(rig.store.next_wakeup(), Some(610_000_000));
    rig.say(SCHEDULER, ask(4));
    assert_eq!(asked(&mut rig, 610_000_000), vec![ask(9)]);
}

#[test]
fn of_two_schedulers_none_is_asked_for_each_has_its_own_sessions() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.store.joined(8, Role::Scheduler, 0);
    assert_eq!(asked(&mut rig, 10_000_000), vec![]);
    rig.store.left(8);
    assert_eq!(asked(&mut rig, 20_000_000).len(), 1);
    rig.store.left(SCHEDULER);
    assert_eq!(asked(&mut rig, 620_000_000), vec![]);
    assert_eq!(rig.store.next_wakeup(), None);
}
