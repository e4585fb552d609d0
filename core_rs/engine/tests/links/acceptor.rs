//! The listening part: leases, takeovers, strangers, tickets, what is malformed.

use scaler_engine::acceptor::{ticket, Acceptor, AcceptorEvent, AcceptorSettings, Origin};
use scaler_engine::dialer::{Dialer, DialerEvent};
use scaler_engine::wire::{Hello, RefusalCode, Role, Welcome};

use crate::pair::*;

const KEY: [u8; 32] = [9; 32];

fn left(pair: &Pair) -> Option<&str> {
    pair.acceptor_events.iter().find_map(|event| match event {
        AcceptorEvent::Left { why, .. } => Some(why.as_str()),
        _ => None,
    })
}

#[test]
fn a_lost_connection_is_told_and_the_link_waits_for_its_lease() {
    let mut pair = Pair::connected(Role::Client);
    pair.cut();
    assert_eq!(
        pair.acceptor_events,
        [AcceptorEvent::Disconnected { link: LINK }]
    );
    pair.run_for(59 * SECOND);
    assert_eq!(left(&pair), None);
    pair.run_for(2 * SECOND);
    assert_eq!(left(&pair), Some("it did not come back within 60 s"));
}

#[test]
fn a_process_of_this_machine_that_does_not_come_back_at_once_is_gone() {
    let mut pair = Pair::new(Role::Node);
    pair.local = true;
    pair.connect();
    pair.settle();
    pair.cut();
    pair.run_for(2 * SECOND);
    assert_eq!(left(&pair), None);
    pair.run_for(2 * SECOND);
    assert_eq!(left(&pair), Some("it did not come back within 3 s"));
}

#[test]
fn a_silent_node_is_gone_after_its_lease() {
    let mut pair = Pair::connected(Role::Node);
    pair.now += 61 * SECOND;
    pair.acceptor.tick(pair.now);
    pair.collect();
    assert_eq!(left(&pair), Some("it was silent for 60 s"));
    assert_eq!(pair.acceptor.poll_close(), pair.connection);
}

#[test]
fn a_silent_client_is_not() {
    let mut pair = Pair::connected(Role::Client);
    pair.now += 3_600 * SECOND;
    pair.acceptor.tick(pair.now);
    pair.collect();
    assert_eq!(pair.acceptor_events, []);
}

#[test]
fn a_new_connection_of_a_link_takes_over() {
    let mut pair = Pair::connected(Role::Client);
    let old = pair.connection;
    pair.dialer.on_close(pair.now);
    pair.connect();
    pair.transmit();
    pair.deliver_to_acceptor();
    assert_eq!(pair.acceptor.poll_close(), old);
    pair.settle();
    assert_eq!(
        pair.acceptor_events,
        [AcceptorEvent::Resumed { link: LINK }]
    );
    pair.acceptor.on_close(pair.now, old.unwrap());
    assert!(pair.acceptor.is_connected(LINK));
}

#[test]
fn a_malformed_frame_ends_its_senders_link_for_good() {
    let mut pair = Pair::connected(Role::Client);
    pair.acceptor
        .on_malformed(pair.now, pair.connection.unwrap(), "header: ends too early");
    pair.settle();
    assert!(
        matches!(&pair.dialer_events[..], [DialerEvent::Refused { code: RefusalCode::Malformed, reason }]
        if reason.contains("ends too early"))
    );
    assert!(left(&pair).unwrap().contains("ends too early"));
    assert!(pair.connection.is_none());

    pair.dialer = Dialer::new(hello(Role::Client), LINK);
    pair.dialer_events.clear();
    pair.connect();
    pair.settle();
    assert!(matches!(
        &pair.dialer_events[..],
        [DialerEvent::Refused {
            code: RefusalCode::Malformed,
            ..
        }]
    ));
}

#[test]
fn a_frame_of_another_link_on_a_connection_is_malformed() {
    let mut pair = Pair::connected(Role::Client);
    let frame = Frame {
        link: LINK + 1,
        epoch: 1,
        sequence: 1,
        acknowledged: 0,
        messages: vec![numbered(1)],
    };
    pair.acceptor
        .on_frame(pair.now, pair.connection.unwrap(), frame);
    pair.collect();
    assert!(left(&pair).is_some());
}

#[test]
fn a_gap_closes_the_connection_and_keeps_the_link() {
    let mut pair = Pair::connected(Role::Client);
    let frame = Frame {
        link: LINK,
        epoch: 1,
        sequence: 5,
        acknowledged: 0,
        messages: vec![numbered(1)],
    };
    pair.acceptor
        .on_frame(pair.now, pair.connection.unwrap(), frame);
    pair.collect();
    assert_eq!(
        pair.acceptor_events,
        [AcceptorEvent::Disconnected { link: LINK }]
    );
    assert_eq!(pair.acceptor.poll_close(), pair.connection);
}

#[test]
fn a_link_that_is_ended_tells_its_peer_instead_of_welcoming_it() {
    let mut pair = Pair::new(Role::Client);
    pair.connect();
    pair.transmit();
    pair.deliver_to_acceptor();
    pair.acceptor
        .end(LINK, RefusalCode::Duplicate, "two of one name".to_owned());
    pair.settle();
    assert!(matches!(
        &pair.dialer_events[..],
        [DialerEvent::Refused {
            code: RefusalCode::Duplicate,
            ..
        }]
    ));
    assert_eq!(left(&pair), None);
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let mut acceptor: Acceptor<Bytes> = Acceptor::new(AcceptorSettings::default(), 42, None);
    acceptor.on_open(0, 1, origin(true));
    assert_eq!(acceptor.next_wakeup(), Some(10 * SECOND));
    acceptor.tick(10 * SECOND);
    assert_eq!(acceptor.poll_close(), Some(1));
    assert_eq!(acceptor.next_wakeup(), None);
}

#[test]
fn of_too_many_strangers_the_oldest_is_closed_and_members_stay() {
    let mut pair = Pair::connected(Role::Client);
    for connection in 100..100 + 1_025 {
        pair.acceptor
            .on_open(pair.now + connection, connection, origin(true));
    }
    assert_eq!(pair.acceptor.poll_close(), Some(100));
    assert_eq!(pair.acceptor.poll_close(), None);
    assert!(pair.acceptor.is_connected(LINK));
}

#[test]
fn a_backlog_is_told_when_it_is_large_and_when_it_is_gone() {
    let mut pair = Pair::connected(Role::Client);
    pair.acceptor.send(LINK, sized(1, 1_000));
    pair.collect();
    assert_eq!(pair.acceptor_events, []);
    pair.acceptor.send(LINK, sized(2, 1 << 20));
    pair.collect();
    assert_eq!(
        pair.acceptor_events,
        [AcceptorEvent::Backlog {
            link: LINK,
            bytes: (1 << 20) + 1_000
        }]
    );
    pair.run_for(SECOND);
    assert_eq!(
        pair.acceptor_events.last(),
        Some(&AcceptorEvent::Backlog {
            link: LINK,
            bytes: 0
        })
    );
}

#[test]
fn an_empty_backlog_is_told_after_much_has_gone_piece_by_piece() {
    let mut pair = Pair::connected(Role::Client);
    for number in 0..8 {
        pair.acceptor.send(LINK, sized(number, 100_000));
        pair.run_for(SECOND);
    }
    let told = |event: &&AcceptorEvent<_>| matches!(event, AcceptorEvent::Backlog { bytes: 0, .. });
    assert_eq!(pair.acceptor_events.iter().filter(told).count(), 2);
}

/// What a remote peer with this hello is told.
fn knock(hello: Hello, unix_seconds: u64) -> Result<Welcome, String> {
    knock_again(&mut guarded(unix_seconds), 1, 0, LINK, hello)
}

fn guarded(unix_seconds: u64) -> Acceptor<Bytes> {
    let settings = AcceptorSettings {
        unix_offset_us: unix_seconds * SECOND,
        ..AcceptorSettings::default()
    };
    Acceptor::new(settings, 42, Some(KEY))
}

/// By another connection each time.
fn knock_again(
    acceptor: &mut Acceptor<Bytes>,
    connection: u64,
    now: u64,
    link: u64,
    hello: Hello,
) -> Result<Welcome, String> {
    let origin = Origin {
        local: false,
        address: "tcp://10.0.0.1:5".to_owned(),
    };
    acceptor.on_open(now, connection, origin);
    let frame = Frame {
        link,
        epoch: 0,
        sequence: 0,
        acknowledged: 0,
        messages: vec![Message::Hello(hello)],
    };
    acceptor.on_frame(now, connection, frame);
    let mut frames = std::iter::from_fn(|| acceptor.poll_transmit(now));
    let (_, mut answer) = frames.find(|(to, _)| *to == connection).expect("an answer");
    match answer.messages.pop() {
        Some(Message::Welcome(welcome)) => Ok(welcome),
        Some(Message::Refused {
            code: RefusalCode::Ticket,
            reason,
        }) => Err(reason),
        other => panic!("{other:?}"),
    }
}

fn with_ticket(role: Role, ticket: Vec<u8>) -> Hello {
    Hello {
        ticket,
        ..hello(role)
    }
}

#[test]
fn a_ticket_for_its_role_or_for_any_lets_in() {
    assert_eq!(
        knock(
            with_ticket(Role::Client, ticket::make(&KEY, Role::Client as u8, "", 0)),
            0
        )
        .map(drop),
        Ok(())
    );
    assert_eq!(
        knock(
            with_ticket(Role::Node, ticket::make(&KEY, ticket::ANY_ROLE, "", 0)),
            0
        )
        .map(drop),
        Ok(())
    );
}

#[test]
fn a_remote_peer_without_a_ticket_is_told_what_to_set() {
    assert!(knock(hello(Role::Client), 0)
        .unwrap_err()
        .contains("SCALER_KEY_FILE"));
}

#[test]
fn a_ticket_for_another_role_another_key_or_another_group_is_refused() {
    let node = |ticket| with_ticket(Role::Node, ticket);
    assert!(
        knock(node(ticket::make(&KEY, Role::Client as u8, "", 0)), 0)
            .unwrap_err()
            .contains("role")
    );
    assert!(
        knock(node(ticket::make(&[8; 32], ticket::ANY_ROLE, "", 0)), 0)
            .unwrap_err()
            .contains("cluster")
    );
    assert!(knock(node(ticket::make(&KEY, ticket::ANY_ROLE, "g", 0)), 0)
        .unwrap_err()
        .contains("group"));
}

#[test]
fn a_ticket_of_a_group_lets_in_all_links_of_its_node_and_nobody_else() {
    let ticket = || ticket::make(&KEY, ticket::ANY_ROLE, "g", 0);
    for role in [Role::Objects, Role::Client] {
        assert_eq!(knock(with_ticket(role, ticket()), 0).map(drop), Ok(()));
    }
    for role in [Role::Manager, Role::Scheduler] {
        assert!(knock(with_ticket(role, ticket()), 0)
            .unwrap_err()
            .contains("group"));
    }
}

#[test]
fn a_ticket_ends_at_its_second() {
    let hello = || with_ticket(Role::Client, ticket::make(&KEY, ticket::ANY_ROLE, "", 100));
    assert_eq!(knock(hello(), 99).map(drop), Ok(()));
    assert!(knock(hello(), 100).unwrap_err().contains("expired"));
}

#[test]
fn who_came_in_time_comes_back_at_any_time() {
    let hello = || {
        with_ticket(
            Role::Objects,
            ticket::make(&KEY, ticket::ANY_ROLE, "g", 100),
        )
    };
    let mut acceptor = guarded(99);
    let first = knock_again(&mut acceptor, 1, 0, LINK, hello()).unwrap();
    let renewed = ticket::of_welcome(&first).expect("another ticket");
    assert_eq!(renewed, ticket::make(&KEY, ticket::ANY_ROLE, "g", 0));
    // It may not have heard of that.
    let later = 1000 * SECOND;
    let again = knock_again(&mut acceptor, 2, later, LINK, hello()).unwrap();
    assert_eq!(ticket::of_welcome(&again), Some(renewed.clone()));
    let other = LINK + 1;
    let refused = knock_again(&mut acceptor, 3, later, other, hello()).unwrap_err();
    assert!(refused.contains("expired"));
    // With what it was given it may come by any link, to another process too.
    let hello = with_ticket(Role::Client, renewed);
    let welcome = knock(hello, 5000).unwrap();
    assert_eq!(ticket::of_welcome(&welcome), None);
}

#[test]
fn the_ticket_of_a_welcome_is_shown_from_then_on() {
    let given = ticket::make(&KEY, ticket::ANY_ROLE, "g", 100);
    let welcome = knock(with_ticket(Role::Objects, given.clone()), 99).unwrap();
    let renewed = ticket::of_welcome(&welcome).unwrap();
    let mut dialer: Dialer<Bytes> = Dialer::new(with_ticket(Role::Objects, given.clone()), LINK);
    let shown = |dialer: &mut Dialer<Bytes>| {
        dialer.on_open(0);
        let frame = dialer.poll_transmit(0).expect("a hello");
        match &frame.messages[..] {
            [Message::Hello(hello)] => hello.ticket.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(shown(&mut dialer), given);
    let frame = Frame {
        link: LINK,
        epoch: welcome.epoch,
        sequence: 0,
        acknowledged: 0,
        messages: vec![Message::Welcome(welcome)],
    };
    dialer.on_frame(0, frame);
    dialer.on_close(0);
    assert_eq!(shown(&mut dialer), renewed);
}

#[test]
fn a_ticket_with_any_bit_changed_is_refused() {
    let ticket = ticket::make(&KEY, ticket::ANY_ROLE, "", 0);
    for bit in 0..ticket.len() * 8 {
        let mut changed = ticket.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(
            knock(with_ticket(Role::Client, changed), 0).is_err(),
            "bit {bit}"
        );
    }
    for length in 0..ticket.len() {
        assert!(
            knock(with_ticket(Role::Client, ticket[..length].to_vec()), 0).is_err(),
            "length {length}"
        );
    }
}

#[test]
fn a_peer_by_the_local_socket_needs_no_ticket() {
    let mut pair = Pair::with(
        hello(Role::Client),
        Acceptor::new(AcceptorSettings::default(), 42, Some(KEY)),
    );
    pair.local = true;
    pair.connect();
    pair.settle();
    assert!(pair.dialer.is_open());
}
