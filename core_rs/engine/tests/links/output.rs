//! What tasks write: it waits for no credit, and a peer that does not read costs little memory.

use scaler_engine::link::{Link, MOST_OUTPUT_BYTES, WINDOW};

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
