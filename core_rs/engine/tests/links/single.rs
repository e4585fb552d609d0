//! `Link` alone: credit, order, filling, acknowledgements.

use scaler_engine::link::{CannotResume, Link, Received, ACKNOWLEDGE_AFTER_US, WINDOW};
use scaler_engine::wire::limits::{FULL_BYTES, FULL_ELEMENTS};
use scaler_engine::wire::Range;

use crate::pair::*;

type Link_ = Link<Bytes>;

fn link() -> Link_ {
    Link::new(LINK, 1, WINDOW)
}

fn messages(frame: &Frame) -> Vec<u64> {
    frame.messages.iter().map(number_of).collect()
}

fn bare(acknowledged: u64) -> Frame {
    Frame {
        link: LINK,
        epoch: 1,
        sequence: 0,
        acknowledged,
        messages: Vec::new(),
    }
}

/// Sends one message in a frame of its own.
fn sends(link: &mut Link_, number: u64) -> Frame {
    link.send(numbered(number));
    link.poll_transmit(0).expect("there is credit")
}

/// A link that has used all its credit.
fn exhausted() -> Link_ {
    let mut link = link();
    (0..WINDOW as u64).for_each(|number| drop(sends(&mut link, number)));
    link
}

#[test]
fn a_message_leaves_at_once_while_there_is_credit() {
    let mut link = link();
    let frame = sends(&mut link, 5);
    assert_eq!((frame.sequence, messages(&frame)), (1, vec![5]));
    assert!(link.credit());
}

#[test]
fn without_credit_messages_gather_and_leave_together() {
    let mut link = exhausted();
    assert!(!link.credit());
    (10..14).for_each(|number| link.send(numbered(number)));
    assert_eq!(link.poll_transmit(0), None);
    link.receive(bare(1));
    let frame = link.poll_transmit(0).expect("credit came back");
    assert_eq!(
        (frame.sequence, messages(&frame)),
        (4, vec![10, 11, 12, 13])
    );
}

#[test]
fn what_takes_no_credit_overtakes_what_waits_for_it_and_is_numbered() {
    let mut link = exhausted();
    link.send(numbered(10));
    link.send(express(11));
    let frame = link.poll_transmit(0).expect("it needs no credit");
    assert_eq!((frame.sequence, messages(&frame)), (4, vec![11]));
    assert_eq!(link.poll_transmit(0), None);
}

#[test]
fn with_credit_messages_leave_in_the_order_in_which_they_came() {
    let mut link = link();
    link.send(numbered(1));
    link.send(express(2));
    link.send(numbered(3));
    assert_eq!(messages(&link.poll_transmit(0).unwrap()), [1, 2, 3]);
}

#[test]
fn a_cancel_waits_behind_the_submission_that_it_cancels() {
    let mut link = exhausted();
    link.send(submit(100, 10));
    link.send(Message::Cancel {
        first: 105,
        count: 1,
    });
    assert_eq!(link.poll_transmit(0), None);
    link.receive(bare(1));
    let frame = link.poll_transmit(0).unwrap();
    assert_eq!(
        frame.messages[1],
        Message::Cancel {
            first: 105,
            count: 1
        }
    );
}

#[test]
fn a_cancel_of_what_has_left_goes_at_once() {
    let mut link = exhausted();
    link.send(submit(100, 10));
    link.send(Message::Cancel {
        first: 90,
        count: 10,
    });
    assert_eq!(
        link.poll_transmit(0).unwrap().messages,
        [Message::Cancel {
            first: 90,
            count: 10
        }]
    );
}

#[test]
fn a_cancel_of_both_is_split_where_the_waiting_elements_begin() {
    let mut link = exhausted();
    link.send(submit(100, 10));
    link.send(Message::Cancel {
        first: 0,
        count: 200,
    });
    assert_eq!(
        link.poll_transmit(0).unwrap().messages,
        [Message::Cancel {
            first: 0,
            count: 100
        }]
    );
    link.receive(bare(1));
    let frame = link.poll_transmit(0).unwrap();
    assert_eq!(
        frame.messages[1],
        Message::Cancel {
            first: 100,
            count: 100
        }
    );
}

#[test]
fn a_cancel_of_what_has_not_started_is_never_split() {
    let mut link = exhausted();
    link.send(submit(100, 10));
    let whole = Message::CancelUnstarted {
        request: 1,
        first: 0,
        count: 200,
    };
    let left = Message::CancelUnstarted {
        request: 2,
        first: 90,
        count: 10,
    };
    link.send(whole.clone());
    link.send(left.clone());
    assert_eq!(link.poll_transmit(0).unwrap().messages, [left]);
    link.receive(bare(1));
    assert_eq!(link.poll_transmit(0).unwrap().messages[1], whole);
}

#[test]
fn a_cancel_of_another_sessions_elements_does_not_wait() {
    let mut link = exhausted();
    link.send(submit(100, 10));
    let range = Range {
        session: 9,
        first: 100,
        count: 10,
    };
    link.send(Message::CancelElements { range });
    assert_eq!(
        link.poll_transmit(0).unwrap().messages,
        [Message::CancelElements { range }]
    );
}

#[test]
fn a_goodbye_drops_what_waits_and_leaves_at_once() {
    let mut link = exhausted();
    link.send(submit(100, 10));
    link.send(Message::Goodbye);
    assert_eq!(link.poll_transmit(0).unwrap().messages, [Message::Goodbye]);
    link.receive(bare(4));
    assert!(link.is_idle());
}

#[test]
fn a_frame_is_filled_up_to_the_limit_of_elements() {
    let mut link = exhausted();
    (0..3).for_each(|part| link.send(submit(part * 4_000, 4_000)));
    link.receive(bare(3));
    assert_eq!(messages(&link.poll_transmit(0).unwrap()), [0, 4_000]);
    assert_eq!(messages(&link.poll_transmit(0).unwrap()), [8_000]);
    const { assert!(2 * 4_000 <= FULL_ELEMENTS && 3 * 4_000 > FULL_ELEMENTS) };
}

#[test]
fn a_frame_is_filled_up_to_the_limit_of_bytes_and_a_larger_message_goes_alone() {
    let mut link = exhausted();
    link.send(sized(1, FULL_BYTES + 1));
    link.send(sized(2, FULL_BYTES / 2));
    link.send(sized(3, FULL_BYTES / 2));
    link.receive(bare(3));
    let frames: Vec<_> = std::iter::from_fn(|| link.poll_transmit(0))
        .map(|frame| messages(&frame))
        .collect();
    assert_eq!(frames, [[1], [2], [3]]);
}

#[test]
fn one_frame_owed_an_acknowledgement_gets_it_after_a_while() {
    let (mut from, mut to) = (link(), link());
    to.receive(sends(&mut from, 1));
    assert_eq!(to.poll_transmit(0), None);
    assert_eq!(to.next_wakeup(), Some(ACKNOWLEDGE_AFTER_US));
    assert_eq!(to.poll_transmit(ACKNOWLEDGE_AFTER_US), Some(bare(1)));
    assert_eq!(
        (to.poll_transmit(ACKNOWLEDGE_AFTER_US), to.next_wakeup()),
        (None, None)
    );
}

#[test]
fn two_frames_owed_an_acknowledgement_get_it_at_once() {
    let (mut from, mut to) = (link(), link());
    to.receive(sends(&mut from, 1));
    to.receive(sends(&mut from, 2));
    assert_eq!(to.poll_transmit(0), Some(bare(2)));
}

#[test]
fn an_acknowledgement_rides_with_a_frame() {
    let (mut from, mut to) = (link(), link());
    to.receive(sends(&mut from, 1));
    assert_eq!(sends(&mut to, 9).acknowledged, 1);
    assert_eq!((to.poll_transmit(0), to.next_wakeup()), (None, None));
}

#[test]
fn while_held_frames_are_received_and_give_no_credit() {
    let (mut from, mut to) = (link(), link());
    to.hold(true);
    let frame = sends(&mut from, 1);
    assert!(matches!(to.receive(frame), Received::Messages(_)));
    assert_eq!(
        (to.poll_transmit(ACKNOWLEDGE_AFTER_US), to.received()),
        (None, 1)
    );
    to.hold(false);
    assert_eq!(to.poll_transmit(0), Some(bare(1)));
}

#[test]
fn a_peer_that_sends_more_than_its_credit_is_malformed() {
    let mut to = link();
    to.hold(true);
    for sequence in 1..=WINDOW as u64 {
        assert!(matches!(to.receive(frame(sequence)), Received::Messages(_)));
    }
    assert!(matches!(
        to.receive(frame(WINDOW as u64 + 1)),
        Received::Malformed(_)
    ));
}

fn frame(sequence: u64) -> Frame {
    Frame {
        link: LINK,
        epoch: 1,
        sequence,
        acknowledged: 0,
        messages: vec![numbered(sequence)],
    }
}

#[test]
fn a_duplicate_is_dropped_and_acknowledged_again() {
    let mut to = link();
    to.receive(frame(1));
    to.poll_transmit(ACKNOWLEDGE_AFTER_US);
    to.poll_transmit(2 * ACKNOWLEDGE_AFTER_US);
    assert_eq!(to.receive(frame(1)), Received::Duplicate);
    assert_eq!(to.poll_transmit(0), Some(bare(1)));
}

#[test]
fn a_missing_frame_and_another_epoch_are_gaps() {
    let mut to = link();
    assert_eq!(to.receive(frame(2)), Received::Gap);
    assert_eq!(
        to.receive(Frame {
            epoch: 2,
            ..frame(1)
        }),
        Received::Gap
    );
    assert_eq!(to.received(), 0);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_malformed() {
    assert!(matches!(link().receive(bare(1)), Received::Malformed(_)));
}

#[test]
fn a_handshake_within_the_order_and_work_outside_of_it_are_malformed() {
    let mut to = link();
    let inside = Frame {
        messages: vec![Message::UnknownLink],
        ..frame(1)
    };
    assert!(matches!(to.receive(inside), Received::Malformed(_)));
    let outside = Frame {
        messages: vec![numbered(1)],
        ..bare(0)
    };
    assert!(matches!(to.receive(outside), Received::Malformed(_)));
}

#[test]
fn after_a_reconnect_what_the_peer_lacks_is_sent_again_under_its_numbers() {
    let mut link = exhausted();
    assert_eq!(link.resume(1), Ok(()));
    let again: Vec<_> = std::iter::from_fn(|| link.poll_transmit(0)).collect();
    assert_eq!(
        again.iter().map(|frame| frame.sequence).collect::<Vec<_>>(),
        [2, 3]
    );
}

#[test]
fn what_was_received_but_not_accepted_still_takes_credit_after_a_reconnect() {
    let mut link = exhausted();
    link.resume(WINDOW as u64).unwrap();
    link.send(numbered(9));
    assert_eq!((link.poll_transmit(0), link.credit()), (None, false));
    link.receive(bare(1));
    assert_eq!(
        link.poll_transmit(0).map(|frame| frame.sequence),
        Some(WINDOW as u64 + 1)
    );
}

#[test]
fn a_peer_that_lost_what_it_acknowledged_cannot_be_resumed() {
    let mut link = exhausted();
    link.receive(bare(2));
    assert_eq!(link.resume(1), Err(CannotResume));
    assert_eq!(link.resume(WINDOW as u64 + 1), Err(CannotResume));
}

#[test]
fn the_backlog_is_what_is_queued_or_not_received() {
    let mut link = exhausted();
    link.send(sized(4, 500));
    link.receive(bare(1));
    link.poll_transmit(0);
    link.send(sized(5, 70));
    assert_eq!(link.backlog(), 570);
    link.receive(bare(4));
    assert_eq!(link.backlog(), 70);
}

#[test]
fn what_the_peer_forgot_comes_back_in_order() {
    let mut link = exhausted();
    link.send(numbered(3));
    link.send(express(4));
    link.receive(bare(1));
    let unacknowledged: Vec<_> = link.take_unacknowledged().iter().map(number_of).collect();
    assert_eq!(unacknowledged, [1, 2, 3, 4]);
    assert_eq!((link.backlog(), link.is_idle()), (0, true));
}
