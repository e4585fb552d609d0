//! What tasks write: it waits for no credit, and a peer that does not read costs little memory.

use proptest::prelude::*;
use scaler_engine::acceptor::AcceptorEvent;
use scaler_engine::dialer::DialerEvent;
use scaler_engine::link::{Link, MOST_OUTPUT_BYTES, WINDOW};
use scaler_engine::wire::Role;

use crate::pair::*;

const SESSION: u64 = 4;

fn link() -> Link<Bytes> {
    Link::new(LINK, 1, WINDOW)
}

fn output(session: u64, lines: u32, bytes: usize) -> Message {
    Message::Output {
        session,
        lines,
        dropped: 0,
        payload: Bytes(bytes),
    }
}

/// (session, lines, dropped) of all that the link transmits now.
fn transmitted(link: &mut Link<Bytes>) -> Vec<(u64, u32, u64)> {
    let mut all = Vec::new();
    while let Some(frame) = link.poll_transmit(0) {
        all.extend(frame.messages.iter().map(|message| match message {
            Message::Output {
                session,
                lines,
                dropped,
                ..
            } => (*session, *lines, *dropped),
            other => panic!("{other:?}"),
        }));
    }
    all
}

fn acknowledge(link: &mut Link<Bytes>) {
    let acknowledged = link.sent();
    link.receive(Frame {
        link: LINK,
        epoch: 1,
        sequence: 0,
        acknowledged,
        messages: Vec::new(),
    });
}

#[test]
fn it_needs_no_credit() {
    let mut link = link();
    for number in 0..WINDOW as u64 {
        link.send(numbered(number));
        link.poll_transmit(0).expect("there is credit");
    }
    link.send(numbered(9));
    link.send(output(SESSION, 1, 10));
    assert_eq!(transmitted(&mut link), [(SESSION, 1, 0)]);
}

#[test]
fn a_peer_that_does_not_read_costs_so_much_memory_and_no_more() {
    let mut link = link();
    for _ in 0..1_000 {
        link.send(output(SESSION, 10, 64 << 10));
        transmitted(&mut link);
    }
    assert!(link.backlog() <= MOST_OUTPUT_BYTES);
    // Empty ones are bounded as well.
    let before = link.sent();
    for _ in 0..1_000_000 {
        link.send(output(SESSION, 1, 0));
        transmitted(&mut link);
    }
    assert!(link.sent() - before <= MOST_OUTPUT_BYTES / 64);
}

#[test]
fn what_was_left_out_is_told_with_what_goes_next() {
    let mut link = link();
    link.send(output(SESSION, 1, (MOST_OUTPUT_BYTES - 1_000) as usize));
    link.send(output(SESSION, 20, 2_000));
    link.send(output(5, 7, 2_000));
    link.send(output(SESSION, 3, 100));
    assert_eq!(transmitted(&mut link), [(SESSION, 1, 0), (SESSION, 3, 20)]);
    acknowledge(&mut link);
    assert_eq!(
        transmitted(&mut link),
        [(5, 0, 7)],
        "at the latest when there is room"
    );
    acknowledge(&mut link);
    link.send(output(5, 1, 1));
    assert_eq!(transmitted(&mut link), [(5, 1, 0)]);
}

#[test]
fn what_was_left_out_before_adds_up() {
    let mut link = link();
    link.send(output(SESSION, 1, MOST_OUTPUT_BYTES as usize - 64));
    for _ in 0..3 {
        link.send(Message::Output {
            session: SESSION,
            lines: 2,
            dropped: 100,
            payload: Bytes(10),
        });
    }
    assert_eq!(transmitted(&mut link), [(SESSION, 1, 0)]);
    acknowledge(&mut link);
    assert_eq!(transmitted(&mut link), [(SESSION, 0, 306)]);
}

#[test]
fn a_new_epoch_begins_with_all_of_its_room() {
    let mut link = link();
    link.send(output(SESSION, 1, MOST_OUTPUT_BYTES as usize - 64));
    transmitted(&mut link);
    link.begin_anew(2);
    link.send(output(SESSION, 1, MOST_OUTPUT_BYTES as usize - 64));
    assert_eq!(transmitted(&mut link), [(SESSION, 1, 0)]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write {
        session: u64,
        lines: u32,
        bytes: usize,
    },
    Other {
        bytes: usize,
    },
    Transmit,
    Deliver,
    Settle,
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![0..1_000_usize, 100_000..700_000_usize];
    prop_oneof![
        6 => (0..3_u64, 0..50_u32, bytes)
            .prop_map(|(session, lines, bytes)| Step::Write { session, lines, bytes }),
        1 => (0..100_000_usize).prop_map(|bytes| Step::Other { bytes }),
        3 => Just(Step::Transmit),
        3 => Just(Step::Deliver),
        1 => Just(Step::Settle),
        1 => Just(Step::Cut),
    ]
}

/// (session, lines that came or were told of as left out) of what an end was given.
fn accounted<'a>(given: impl Iterator<Item = &'a Message>) -> [u64; 3] {
    let mut lines = [0; 3];
    for message in given {
        if let Message::Output {
            session,
            lines: came,
            dropped,
            ..
        } = message
        {
            lines[*session as usize] += u64::from(*came) + dropped;
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_line_comes_once_or_is_told_of(steps in prop::collection::vec(step(), 0..80)) {
        let mut pair = Pair::connected(Role::Client);
        let mut written = [0; 3];
        for step in steps {
            match step {
                Step::Write { session, lines, bytes } => {
                    written[session as usize] += u64::from(lines);
                    pair.acceptor.send(LINK, output(session, lines, bytes));
                    pair.dialer.send(output(session, lines, bytes));
                }
                Step::Other { bytes } => {
                    pair.acceptor.send(LINK, sized(0, bytes));
                    pair.dialer.send(sized(0, bytes));
                }
                Step::Transmit => pair.transmit(),
                Step::Deliver => drop((pair.deliver_to_acceptor(), pair.deliver_to_dialer())),
                Step::Settle => pair.settle(),
                Step::Cut => {
                    pair.cut();
                    pair.connect();
                }
            }
        }
        pair.run_for(SECOND);
        let dialed = pair.dialer_events.iter().filter_map(|event| match event {
            DialerEvent::Message(message) => Some(message),
            _ => None,
        });
        prop_assert_eq!(accounted(dialed), written);
        let accepted = pair.acceptor_events.iter().filter_map(|event| match event {
            AcceptorEvent::Message { message, .. } => Some(message),
            _ => None,
        });
        prop_assert_eq!(accounted(accepted), written);
    }
}
