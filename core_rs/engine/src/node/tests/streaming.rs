//! What tasks write: who is told that somebody listens, and what is passed on.

use super::rig::*;
use crate::node::NodeConfig;
use crate::wire::Message;

fn listen(session: u64, on: bool) -> Message<Bytes> {
    Message::Listen { session, on }
}

fn output(session: u64) -> Message<Bytes> {
    Message::Output {
        session,
        lines: 2,
        dropped: 1,
        payload: Bytes(30),
    }
}

fn heard(rig: &mut Rig, slot: usize) -> Vec<Message<Bytes>> {
    let messages = std::mem::take(&mut rig.executors[slot].messages).into_iter();
    messages
        .filter(|message| matches!(message, Message::Listen { .. } | Message::Chunk(_)))
        .collect()
}

#[test]
fn executors_and_the_host_are_told_who_listens() {
    let mut rig = Rig::new(2);
    rig.say(listen(SESSION, true));
    rig.say(listen(SESSION, true));
    for slot in [0, 1] {
        assert_eq!(heard(&mut rig, slot), [listen(SESSION, true)]);
    }
    rig.say(listen(SESSION, false));
    assert_eq!(heard(&mut rig, 0), [listen(SESSION, false)]);
    assert_eq!(rig.listens, [(SESSION, true), (SESSION, false)]);
}

#[test]
fn an_executor_that_is_new_is_told_before_its_first_chunk() {
    let mut rig = Rig::unstarted(NodeConfig {
        slots: 1,
        ..NodeConfig::default()
    });
    rig.say(listen(SESSION, true));
    rig.assign(0, 1);
    assert_eq!(heard(&mut rig, 0), []);
    rig.ready(0);
    let heard = heard(&mut rig, 0);
    assert_eq!(heard[0], listen(SESSION, true));
    assert!(matches!(heard[1..], [Message::Chunk(_)]));
}

#[test]
fn output_of_who_listens_is_passed_on_and_no_other() {
    let mut rig = Rig::new(1);
    rig.say(listen(SESSION, true));
    rig.hear(0, output(SESSION));
    rig.hear(0, output(8));
    rig.node.output(rig.now, SESSION, 2, 1, Bytes(30));
    rig.absorb();
    let passed = rig
        .told
        .iter()
        .filter(|message| matches!(message, Message::Output { .. }));
    assert_eq!(passed.collect::<Vec<_>>(), [&output(SESSION); 2]);
    assert_eq!(
        rig.kills,
        [] as [u32; 0],
        "a session may have ended meanwhile"
    );
}

#[test]
fn without_a_scheduler_output_is_not_kept() {
    let mut rig = Rig::new(1);
    rig.say(listen(SESSION, true));
    rig.node.connected(rig.now, false);
    rig.hear(0, output(SESSION));
    assert!(!rig.told.contains(&output(SESSION)));
}

#[test]
fn a_scheduler_that_forgot_has_to_ask_again() {
    let mut rig = Rig::new(1);
    rig.say(listen(SESSION, true));
    rig.node.reset(rig.now, vec![]);
    rig.absorb();
    assert_eq!(heard(&mut rig, 0)[1..], [listen(SESSION, false)]);
    assert_eq!(rig.listens, [(SESSION, true), (SESSION, false)]);
    rig.hear(0, output(SESSION));
    assert!(!rig.told.contains(&output(SESSION)));
}
