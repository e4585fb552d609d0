//! An executor's port against an agent that is played by the test.

mod harness;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use harness::noise;
use scaler_loops::line::{position_of, Line, NEVER};
use scaler_loops::linux::{memory_file, monotonic_us};
use scaler_loops::port::{local_frame, object_hash, Order, Port, Received};
use scaler_loops::wire::{
    decode, encode, stream_length, CallStyle, Chunk, ChunkResult, Form, Input, Message, ObjectKey,
    OutcomeKind,
};

struct Agent {
    socket: UnixStream,
    line: Line,
}

fn pair() -> (Agent, Arc<Port>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let file = memory_file("line").unwrap();
    let line = Line::map(file.as_fd()).unwrap();
    line.stop(NEVER);
    let port = Port::new(OwnedFd::from(theirs), &file).unwrap();
    (Agent { socket: ours, line }, Arc::new(port))
}

impl Agent {
    fn send(&mut self, messages: Vec<Message<Bytes>>) {
        let (mut bytes, mut payloads) = (Vec::new(), Vec::new());
        encode(&local_frame(messages), &mut bytes, &mut payloads);
        payloads
            .iter()
            .for_each(|payload| bytes.extend_from_slice(payload));
        self.socket.write_all(&bytes).unwrap();
    }

    fn hears_nothing(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let read = self.socket.read(&mut [0]);
        self.socket.set_nonblocking(false).unwrap();
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    fn receive(&mut self) -> Vec<Message<Bytes>> {
        let mut bytes = vec![0; 4];
        self.socket.read_exact(&mut bytes).unwrap();
        let total = stream_length(&bytes).unwrap().unwrap();
        bytes.resize(total, 0);
        self.socket.read_exact(&mut bytes[4..]).unwrap();
        let frame = &bytes[4..];
        decode(frame, |start, end| {
            Bytes::copy_from_slice(&frame[start..end])
        })
        .unwrap()
        .messages
    }
}

fn order(port: &Port) -> Order {
    match port.receive().unwrap() {
        Received::Order(order) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn orders_come_in_order_and_objects_whole() {
    let (mut agent, port) = pair();
    let data = noise(3 << 20);
    let key = ObjectKey {
        session: 9,
        hash: object_hash(&data),
    };
    let sender = thread::spawn(move || {
        agent.send(vec![Message::Function {
            id: [1; 16],
            payload: Bytes::from_static(b"f"),
        }]);
        for (at, part) in data.chunks(1 << 20).enumerate() {
            let (size, offset) = (data.len() as u64, (at << 20) as u64);
            agent.send(vec![Message::Object {
                key,
                size,
                offset,
                payload: Bytes::copy_from_slice(part),
            }]);
        }
        agent.send(vec![Message::ForgetObject { key }, Message::Stop]);
        (agent, data)
    });
    assert!(
        matches!(order(&port), Order::Function { id, pickled } if id == [1; 16] && &pickled[..] == b"f")
    );
    let Order::Object { key: got, parts } = order(&port) else {
        panic!("no object")
    };
    assert!(matches!(order(&port), Order::ForgetObject { .. }));
    assert!(matches!(order(&port), Order::Stop));
    let (agent, data) = sender.join().unwrap();
    assert!(got == key && parts.concat() == data);
    drop(agent);
    assert!(matches!(port.receive().unwrap(), Received::End));
}

#[test]
fn a_chunk_and_its_result_pass_unchanged() {
    let (mut agent, port) = pair();
    let chunk = Chunk {
        chunk: 3,
        session: 1,
        function: [2; 16],
        style: CallStyle::One,
        first: 100,
        skip: 4,
        take: 2,
        block_count: 8,
        form: Form::Table,
        payload: Some(Bytes::from_static(b"payload")),
        depth: 1,
        priority: -2,
        inputs: vec![Input {
            element: 1,
            value: 7,
            index: 3,
        }],
    };
    agent.send(vec![Message::Chunk(chunk.clone())]);
    assert!(matches!(order(&port), Order::Chunk(got) if got == chunk));
    let result = ChunkResult {
        chunk: 3,
        index: 0,
        count: 2,
        kind: OutcomeKind::ValueList,
        payload: Bytes::from_static(b"values"),
        busy_us: 5,
    };
    port.result(result.clone()).unwrap();
    port.send(vec![Message::ChunkEnd {
        chunk: 3,
        next: 2,
        busy_us: 5,
    }])
    .unwrap();
    assert_eq!(agent.receive(), [Message::ChunkResult(result)]);
    assert_eq!(
        agent.receive(),
        [Message::ChunkEnd {
            chunk: 3,
            next: 2,
            busy_us: 5
        }]
    );
}

#[test]
fn a_result_leaves_at_once_while_another_element_runs_and_before_the_next_order() {
    let (mut agent, port) = pair();
    let result = |index| ChunkResult {
        chunk: 1,
        index,
        count: 1,
        kind: OutcomeKind::ValueSingle,
        payload: Bytes::from_static(b"value"),
        busy_us: 5,
    };
    assert!(port.enter(position_of(1, 1), 0));
    port.result(result(0)).unwrap();
    assert_eq!(agent.receive(), [Message::ChunkResult(result(0))]);
    port.leave();
    port.result(result(1)).unwrap();
    agent.send(vec![Message::Stop]);
    assert!(matches!(order(&port), Order::Stop));
    assert_eq!(agent.receive(), [Message::ChunkResult(result(1))]);
}

fn chunk(number: u32) -> Message<Bytes> {
    Message::Chunk(Chunk {
        chunk: number,
        session: 1,
        function: [2; 16],
        style: CallStyle::One,
        first: u64::from(number),
        skip: 0,
        take: 1,
        block_count: 1,
        form: Form::Single,
        payload: Some(Bytes::from_static(b"payload")),
        depth: 0,
        priority: 0,
        inputs: Vec::new(),
    })
}

fn end(chunk: u32, busy_us: u64) -> Message<Bytes> {
    Message::ChunkEnd {
        chunk,
        next: 1,
        busy_us,
    }
}

#[test]
fn ends_of_short_chunks_leave_together_and_the_last_of_them_at_once() {
    let (mut agent, port) = pair();
    agent.send(vec![chunk(1), chunk(2), chunk(3)]);
    for number in 1..=3 {
        assert!(matches!(order(&port), Order::Chunk(got) if got.chunk == number));
        assert!(agent.hears_nothing());
        port.chunk_end(None, number, 1, 10).unwrap();
    }
    for number in 1..=3 {
        assert_eq!(agent.receive(), [end(number, 10)]);
    }
}

#[test]
fn the_end_of_a_long_chunk_leaves_at_once() {
    let (mut agent, port) = pair();
    agent.send(vec![chunk(1), chunk(2)]);
    assert!(matches!(order(&port), Order::Chunk(_)));
    port.chunk_end(None, 1, 1, 10_000).unwrap();
    assert_eq!(agent.receive(), [end(1, 10_000)]);
}

#[test]
fn an_end_that_waits_leaves_when_the_agent_asks() {
    let (mut agent, port) = pair();
    agent.send(vec![chunk(1), chunk(2)]);
    assert!(matches!(order(&port), Order::Chunk(_)));
    port.chunk_end(None, 1, 1, 10).unwrap();
    assert!(matches!(order(&port), Order::Chunk(_)));
    assert!(port.enter(position_of(2, 0), 0));
    let flusher = Arc::clone(&port);
    let flushing = thread::spawn(move || flusher.wait_flush());
    agent.line.ask_flush();
    assert_eq!(agent.receive(), [end(1, 10)]);
    assert!(flushing.join().unwrap());
}

#[test]
fn a_large_value_travels_in_parts_and_waits_for_an_agent_that_is_slow() {
    let (mut agent, port) = pair();
    let value = Bytes::from(noise(9 << 20));
    let (sent, writer) = (value.clone(), Arc::clone(&port));
    let writing = thread::spawn(move || writer.large_value(1, 7, &[sent]));
    let (mut got, mut name) = (Vec::new(), None);
    while got.len() < value.len() {
        for message in agent.receive() {
            let Message::LargeValue {
                chunk: 1,
                index: 7,
                hash,
                size,
                offset,
                payload,
            } = message
            else {
                panic!("{message:?}")
            };
            assert_eq!(
                (*name.get_or_insert(hash), size, offset),
                (hash, value.len() as u64, got.len() as u64)
            );
            got.extend_from_slice(&payload);
        }
    }
    writing.join().unwrap().unwrap();
    assert!(got == value);
}

#[test]
fn a_stopped_element_does_not_start_and_the_line_tells_which_ran() {
    let (agent, port) = pair();
    agent.line.stop(position_of(2, 5));
    let now = monotonic_us();
    assert!(port.enter(position_of(2, 4), now));
    assert_eq!(
        (agent.line.position(), agent.line.started_us()),
        (position_of(2, 4), now)
    );
    assert!(!port.enter(position_of(2, 5), now));
    assert!(!port.enter(position_of(3, 0), now));
    agent.line.stop(NEVER);
    assert!(port.enter(position_of(3, 0), now));
}

#[test]
fn a_cancel_hits_the_element_it_names_while_it_runs_and_once() {
    let (agent, port) = pair();
    assert!(port.enter(position_of(1, 1), 0));
    agent.line.cancel(position_of(1, 2));
    assert!(!port.take_cancel(), "another element runs");
    assert!(port.enter(position_of(1, 2), 0));
    assert!(port.take_cancel());
    assert!(!port.take_cancel(), "once");
    agent.line.cancel(position_of(1, 2));
    port.leave();
    assert!(!port.take_cancel(), "it has ended");
}

#[test]
fn of_an_element_and_a_stop_that_meet_one_side_at_least_sees_the_other() {
    let (agent, port) = pair();
    let agent = Arc::new(agent);
    for chunk in 1..2_000 {
        let at = position_of(chunk, 0);
        agent.line.stop(NEVER);
        let stopper = Arc::clone(&agent);
        let stopping = thread::spawn(move || {
            stopper.line.stop(at);
            stopper.line.position() < at
        });
        let started = port.enter(at, 0);
        let surely_not_started = stopping.join().unwrap();
        assert!(
            !(started && surely_not_started),
            "the agent took back an element that ran"
        );
    }
}

#[test]
fn the_flusher_wakes_for_each_request_and_at_the_end() {
    let (agent, port) = pair();
    let flusher = Arc::clone(&port);
    let (told, tell) = std::sync::mpsc::channel();
    let flushing = thread::spawn(move || {
        while flusher.wait_flush() {
            told.send(()).unwrap();
        }
    });
    for _ in 0..3 {
        agent.line.ask_flush();
        tell.recv_timeout(harness::LIMIT).unwrap();
    }
    drop(agent);
    assert!(matches!(port.receive().unwrap(), Received::End));
    flushing.join().unwrap();
}
