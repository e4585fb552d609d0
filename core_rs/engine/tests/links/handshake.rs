//! Hello, welcome, resuming, beginning anew.

use scaler_engine::acceptor::{Acceptor, AcceptorEvent, AcceptorSettings};
use scaler_engine::dialer::DialerEvent;
use scaler_engine::wire::{RefusalCode, Role};

use crate::pair::*;

fn fresh(pair: &Pair) -> Vec<Vec<u64>> {
    pair.dialer_events
        .iter()
        .filter_map(|event| match event {
            DialerEvent::Fresh { unacknowledged, .. } => {
                Some(unacknowledged.iter().map(number_of).collect())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_first_hello_joins_and_hands_back_what_was_sent_before() {
    let mut pair = Pair::new(Role::Client);
    pair.dialer.send(numbered(1));
    pair.connect();
    pair.settle();
    assert!(
        matches!(&pair.acceptor_events[0], AcceptorEvent::Joined { link: LINK, hello, .. } if hello.incarnation == 0)
    );
    assert_eq!(fresh(&pair), [[1]]);
    assert_eq!(pair.accepted(), []);
}

#[test]
fn messages_travel_both_ways_once_welcomed() {
    let mut pair = Pair::connected(Role::Client);
    pair.dialer.send(numbered(1));
    pair.acceptor.send(LINK, numbered(2));
    pair.settle();
    assert_eq!((pair.accepted(), pair.dialed()), (vec![1], vec![2]));
}

#[test]
fn a_reconnect_resumes_and_both_send_what_was_lost() {
    let mut pair = Pair::connected(Role::Client);
    pair.dialer.send(numbered(1));
    pair.acceptor.send(LINK, numbered(2));
    pair.transmit();
    pair.reconnect();
    assert!(pair
        .dialer_events
        .iter()
        .any(|event| matches!(event, DialerEvent::Welcomed { resumed: true, .. })));
    assert!(pair
        .acceptor_events
        .contains(&AcceptorEvent::Resumed { link: LINK }));
    assert_eq!((pair.accepted(), pair.dialed()), (vec![1], vec![2]));
}

#[test]
fn a_lost_welcome_is_said_again_and_the_peer_joins_once() {
    let mut pair = Pair::new(Role::Client);
    pair.connect();
    pair.transmit();
    pair.deliver_to_acceptor();
    pair.acceptor.send(LINK, numbered(1));
    pair.reconnect();
    let joined = pair
        .acceptor_events
        .iter()
        .filter(|event| matches!(event, AcceptorEvent::Joined { .. }))
        .count();
    assert_eq!((joined, fresh(&pair).len(), pair.dialed()), (1, 1, vec![1]));
}

#[test]
fn an_acceptor_that_forgot_begins_a_new_epoch() {
    let mut pair = Pair::connected(Role::Client);
    pair.dialer.send(numbered(1));
    pair.transmit();
    pair.cut();
    pair.acceptor = Acceptor::new(AcceptorSettings::default(), 43, None);
    pair.connect();
    pair.settle();
    assert_eq!(fresh(&pair), [[1]]);
    assert_eq!(pair.dialer.link().epoch(), 2);
    pair.dialer.send(numbered(2));
    pair.settle();
    assert_eq!(pair.accepted(), [2]);
}

#[test]
fn a_link_whose_lease_is_over_begins_a_new_epoch_with_the_same_acceptor() {
    let mut pair = Pair::connected(Role::Client);
    pair.cut();
    pair.run_for(61 * SECOND);
    assert!(matches!(
        pair.acceptor_events.last(),
        Some(AcceptorEvent::Left { .. })
    ));
    pair.connect();
    pair.settle();
    assert_eq!((fresh(&pair).len(), pair.dialer.link().epoch()), (1, 2));
}

#[test]
fn another_protocol_is_refused_with_both_versions_and_the_mend() {
    let acceptor = Acceptor::new(AcceptorSettings::default(), 42, None);
    let mut pair = Pair::with(
        scaler_engine::wire::Hello {
            protocol: 999,
            ..hello(Role::Client)
        },
        acceptor,
    );
    pair.connect();
    pair.settle();
    let DialerEvent::Refused { code, reason } = &pair.dialer_events[0] else {
        panic!("{:?}", pair.dialer_events)
    };
    assert_eq!(*code, RefusalCode::Protocol);
    assert!(
        reason.contains("999") && reason.contains("protocol 1") && reason.contains("install"),
        "{reason}"
    );
    assert!(pair.connection.is_none() && pair.dialer.is_refused());
}

#[test]
fn a_refused_dialer_says_nothing_more() {
    let mut pair = Pair::connected(Role::Client);
    pair.acceptor
        .end(LINK, RefusalCode::Limit, "too many".to_owned());
    pair.settle();
    assert!(pair.dialer_events.contains(&DialerEvent::Refused {
        code: RefusalCode::Limit,
        reason: "too many".into()
    }));
    pair.dialer.on_open(pair.now);
    assert!(pair.dialer.wants_close());
    assert_eq!(pair.dialer.poll_transmit(pair.now), None);
}

#[test]
fn a_frame_of_an_unknown_link_is_told_so_and_the_dialer_closes() {
    let mut pair = Pair::connected(Role::Client);
    pair.cut();
    pair.connect();
    pair.transmit();
    pair.to_acceptor.clear();
    let traffic = Frame {
        link: LINK,
        epoch: 1,
        sequence: 1,
        acknowledged: 0,
        messages: vec![numbered(1)],
    };
    pair.to_acceptor.push_back(traffic);
    pair.deliver_to_acceptor();
    pair.transmit();
    assert_eq!(pair.to_dialer[0].messages, [Message::UnknownLink]);
    pair.settle();
    assert!(pair.connection.is_none());
    assert_eq!(pair.accepted(), []);
}

#[test]
fn an_acceptor_that_says_nothing_is_given_up() {
    let mut pair = Pair::connected(Role::Client);
    for _ in 0..100 {
        pair.now += SECOND;
        pair.dialer.tick(pair.now);
        while pair.dialer.poll_transmit(pair.now).is_some() {}
    }
    assert!(pair.dialer.wants_close());
}

#[test]
fn a_dialer_that_was_stopped_for_a_minute_does_not_blame_its_peer() {
    let mut pair = Pair::connected(Role::Client);
    pair.now += 60 * SECOND;
    pair.dialer.tick(pair.now);
    assert!(!pair.dialer.wants_close());
    pair.run_for(60 * SECOND);
    assert!(pair.connection.is_some());
}

#[test]
fn heartbeats_are_answered_and_an_idle_connection_lives() {
    let mut pair = Pair::connected(Role::Node);
    pair.run_for(600 * SECOND);
    assert!(pair.connection.is_some());
    let heartbeats = pair
        .frames
        .iter()
        .filter(|frame| frame.messages.contains(&Message::Heartbeat))
        .count();
    assert!((290..=310).contains(&heartbeats), "{heartbeats}");
    assert!(pair.dialer.link().is_idle());
}

#[test]
fn a_hello_that_could_not_be_read_is_refused_and_its_sender_hears_it() {
    let mut pair = Pair::new(Role::Client);
    pair.connect();
    pair.transmit();
    pair.to_acceptor.clear();
    pair.acceptor.on_malformed(
        pair.now,
        pair.connection.unwrap(),
        "Hello.role: 99 is no role",
    );
    pair.settle();
    assert!(matches!(
        &pair.dialer_events[..],
        [DialerEvent::Refused {
            code: RefusalCode::Malformed,
            ..
        }]
    ));
}
