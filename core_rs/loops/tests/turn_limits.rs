//! What a turn reads is bounded over all connections, and none of them is left behind.

use std::io::Write;
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use mio::{Poll, Token};
use scaler_loops::connections::{Arrival, Connections};
use scaler_wire::{encode, Frame, Message};

const CONNECTIONS: usize = 80;
const PAYLOAD: usize = 64 << 10;
/// As the loop has it, and one read more at most.
const TURN_BYTES: usize = (4 << 20) + (256 << 10);

fn frame_bytes() -> Vec<u8> {
    let frame = Frame {
        link: 1,
        epoch: 1,
        sequence: 1,
        acknowledged: 0,
        messages: vec![Message::Function {
            id: [1; 16],
            payload: Bytes::from(vec![7; PAYLOAD]),
        }],
    };
    let (mut bytes, mut payloads) = (Vec::new(), Vec::new());
    encode(&frame, &mut bytes, &mut payloads);
    payloads.iter().for_each(|it| bytes.extend_from_slice(it));
    bytes
}

#[test]
fn a_turn_ends_at_its_limits_in_the_middle_of_a_round_and_the_next_one_goes_on_there() {
    let poll = Poll::new().expect("a poll");
    let mut connections: Connections<usize> = Connections::new(Token);
    let bytes = frame_bytes();
    let peers: Vec<UnixStream> = (0..CONNECTIONS)
        .map(|number| {
            let (mut peer, socket) = UnixStream::pair().expect("a socketpair");
            peer.write_all(&bytes).expect("the socket has room for it");
            let opened = connections.open(poll.registry(), socket.into(), number, true);
            opened.expect("a connection");
            peer
        })
        .collect();
    let turn = |connections: &mut Connections<usize>| {
        let mut from = Vec::new();
        connections.read(poll.registry(), |_, number, arrival| match arrival {
            Arrival::Frame(_) => from.push(number),
            other => panic!("{other:?}"),
        });
        from
    };
    let first = turn(&mut connections);
    assert!(first.len() * bytes.len() <= TURN_BYTES, "{}", first.len());
    assert!(connections.has_ready());
    let mut all = first;
    all.extend(turn(&mut connections));
    assert_eq!(all, (0..CONNECTIONS).collect::<Vec<_>>());
    drop(peers);
}
