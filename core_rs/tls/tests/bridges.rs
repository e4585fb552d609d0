//! Both ends of a bridge over real sockets: what comes through, who is kept out, what is left.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use scaler_loops::input::{Input, Read as Got};
use scaler_loops::output::Output;
use scaler_loops::{linux, mapped, spare_files};
use scaler_tls::bridge::Bridge;
use scaler_tls::dial::{dial, DialError};
use scaler_tls::introduction::{question, Introduction, ANSWER};
use scaler_tls::listener::{Host, Listener, Settings};
use scaler_wire::{Codec, Frame, Message, ObjectKey};

const SERVER: [u8; 32] = [1; 32];
const MEMBER: [u8; 32] = [2; 32];
const PATIENCE: Duration = Duration::from_secs(30);
const PART: usize = 4 << 20;

#[derive(Clone)]
struct Heard {
    adopted: Sender<(OwnedFd, String)>,
    warned: Sender<String>,
}

impl Host for Heard {
    fn adopt(&self, socket: OwnedFd, host: String) {
        let _ = self.adopted.send((socket, host));
    }

    fn warn(&self, text: String) {
        let _ = self.warned.send(text);
    }
}

struct Server {
    listener: Listener,
    address: SocketAddr,
    adopted: Receiver<(OwnedFd, String)>,
    warned: Receiver<String>,
}

impl Server {
    fn start() -> Server {
        let (adopted_in, adopted) = channel();
        let (warned_in, warned) = channel();
        let heard = Heard {
            adopted: adopted_in,
            warned: warned_in,
        };
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let settings = Settings {
            codec: Codec::Auto,
            most_peers: 100,
        };
        let listener = Listener::start(Some(socket), &SERVER, &MEMBER, settings, heard).unwrap();
        Server {
            listener,
            address,
            adopted,
            warned,
        }
    }

    fn dial(&self) -> (Bridge, End) {
        let pin = self.listener.pin();
        let dialled = dial(self.address, &MEMBER, &pin, Codec::Off, PATIENCE, PATIENCE);
        let (bridge, pair) = dialled.unwrap();
        (bridge, End::new(pair))
    }

    fn adopt(&self) -> End {
        End::new(self.adopted.recv_timeout(PATIENCE).unwrap().0)
    }
}

/// A loop's end of a pair.
struct End {
    socket: OwnedFd,
    input: Input,
    output: Output,
    scratch: Vec<u8>,
}

impl End {
    fn new(socket: OwnedFd) -> End {
        assert!(linux::leads_to_listener(socket.as_fd()));
        End {
            socket,
            input: Input::with_files(),
            output: Output::with_files(),
            scratch: Vec::new(),
        }
    }

    fn wait(&self, write: bool) {
        let ready = linux::poll(Some(self.socket.as_fd()), write, None, Some(PATIENCE)).unwrap();
        assert!(ready.socket, "nothing came");
    }

    fn send(&mut self, frame: &Frame<Bytes>) {
        self.output.push(frame);
        while !self.output.write(self.socket.as_fd()).unwrap() {
            self.wait(true);
        }
    }

    /// Frames until there are so many; fewer where the other end has gone.
    fn receive(&mut self, count: usize) -> Vec<Frame<Bytes>> {
        let mut frames = Vec::new();
        while frames.len() < count {
            let socket = self.socket.as_fd();
            match self.input.read(socket, &mut self.scratch, &mut frames) {
                Ok(Got::End) => break,
                Ok(Got::Nothing) => self.wait(false),
                Ok(Got::Bytes { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            if self.input.peer_takes_files() {
                self.output.give_files();
            }
        }
        frames
    }

    fn is_over(&mut self) -> bool {
        self.receive(1).is_empty()
    }
}

fn frame(sequence: u64, message: Message<Bytes>) -> Frame<Bytes> {
    Frame {
        link: 1,
        epoch: 1,
        sequence,
        acknowledged: 0,
        messages: vec![message],
    }
}

fn get(request: u32) -> Frame<Bytes> {
    let key = ObjectKey {
        session: 1,
        hash: [3; 16],
    };
    frame(u64::from(request), Message::Get { request, key })
}

/// An object's frames, in parts of which all but the last have 4 MiB.
fn object(request: u32, data: &Bytes) -> Vec<Frame<Bytes>> {
    let part = |offset: usize| Message::Data {
        request,
        size: data.len() as u64,
        offset: offset as u64,
        payload: data.slice(offset..data.len().min(offset + PART)),
    };
    let offsets = (0..data.len()).step_by(PART);
    offsets.map(|at| frame(1 + at as u64, part(at))).collect()
}

fn payloads(frames: &[Frame<Bytes>]) -> Vec<Bytes> {
    let payload = |message: &Message<Bytes>| match message {
        Message::Data { payload, .. } => payload.clone(),
        other => panic!("{other:?}"),
    };
    let messages = frames.iter().flat_map(|frame| &frame.messages);
    messages.map(payload).collect()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at % 251) as u8).collect()
}

#[test]
fn an_object_arrives_in_one_file_whatever_it_lay_in() {
    let server = Server::start();
    let (_bridge, mut client) = server.dial();
    client.send(&get(1));
    let mut store = server.adopt();
    assert_eq!(store.receive(1), [get(1)]);

    let data = pattern(3 * PART + 1_000_000);
    let in_file = spare_files::share(&[&data]).unwrap();
    for (request, data) in [(1, in_file), (2, Bytes::from(data.clone()))] {
        let sent = object(request, &data);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| sent.iter().for_each(|one| store.send(one)));
            let got = client.receive(sent.len());
            sending.join().unwrap();
            assert!(got == sent);
            let [whole] = &mapped::joined(payloads(&got))[..] else {
                panic!("these are not parts of one file");
            };
            assert!(*whole == data);
        });
    }
}

#[test]
fn what_follows_a_part_that_is_too_small_for_a_file_is_in_one_all_the_same() {
    let server = Server::start();
    let (_bridge, mut client) = server.dial();
    client.send(&get(1));
    let mut store = server.adopt();
    store.receive(1);
    let data = Bytes::from(pattern(100 + 2 * PART));
    let cuts = [0, 100, 100 + PART, 100 + 2 * PART];
    let sent: Vec<_> = cuts
        .windows(2)
        .map(|cut| {
            let message = Message::Data {
                request: 1,
                size: data.len() as u64,
                offset: cut[0] as u64,
                payload: data.slice(cut[0]..cut[1]),
            };
            frame(1 + cut[0] as u64, message)
        })
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| sent.iter().for_each(|one| store.send(one)));
        let got = client.receive(sent.len());
        assert!(got == sent);
        let parts = payloads(&got);
        let joined = mapped::joined(parts[1..].to_vec());
        assert!(joined.len() == 1 && joined[0] == data[100..]);
    });
}

#[test]
fn objects_whose_parts_come_in_turns_have_a_file_each() {
    let server = Server::start();
    let (_bridge, mut client) = server.dial();
    client.send(&get(1));
    let mut store = server.adopt();
    store.receive(1);
    let all: Vec<_> = (0..3)
        .map(|at| object(at, &Bytes::from(vec![at as u8; 2 * PART])))
        .collect();
    let turns: Vec<_> = (0..2)
        .flat_map(|part| all.iter().map(move |one| one[part].clone()))
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| turns.iter().for_each(|one| store.send(one)));
        let got = payloads(&client.receive(turns.len()));
        for at in 0..3 {
            let parts = [&got[at], &got[at + 3]];
            assert!(parts
                .iter()
                .all(|part| part[..] == vec![at as u8; PART][..]));
            let places = parts.map(|part| mapped::file_of(part).expect("in a file"));
            let ids = places.each_ref().map(|(mapped, _)| {
                let stat = rustix::fs::fstat(mapped.file()).unwrap();
                stat.st_ino
            });
            assert_eq!(ids[0], ids[1]);
            assert_eq!(places.map(|(_, offset)| offset), [0, PART as u64]);
        }
    });
}

#[test]
fn a_size_that_a_peer_makes_up_costs_no_memory() {
    let server = Server::start();
    let (_bridge, mut client) = server.dial();
    let lie = Message::Data {
        request: 1,
        size: 1 << 50,
        offset: 0,
        payload: Bytes::from(pattern(PART)),
    };
    client.send(&frame(1, lie.clone()));
    let mut store = server.adopt();
    assert!(store.receive(1) == [frame(1, lie)]);
}

#[test]
fn a_server_with_another_key_is_refused() {
    let server = Server::start();
    let wrong = [9; 32];
    let dialled = dial(
        server.address,
        &MEMBER,
        &wrong,
        Codec::Off,
        PATIENCE,
        PATIENCE,
    );
    assert!(matches!(dialled, Err(DialError::WrongKey)));
    assert!(server.adopted.try_recv().is_err());
}

#[test]
fn a_member_of_another_cluster_is_refused_and_counted() {
    let server = Server::start();
    let pin = server.listener.pin();
    let dialled = dial(
        server.address,
        &[9; 32],
        &pin,
        Codec::Off,
        PATIENCE,
        PATIENCE,
    );
    assert!(matches!(
        dialled,
        Err(DialError::Refused(_) | DialError::Unreachable(_))
    ));
    let warned = server.warned.recv_timeout(PATIENCE).unwrap();
    assert!(warned.contains("refused 1 connection(s)"), "{warned}");
    assert!(server.adopted.try_recv().is_err());
}

#[test]
fn strangers_get_nothing_and_keep_nobody_out() {
    let server = Server::start();
    let mut noisy = TcpStream::connect(server.address).unwrap();
    noisy.write_all(&pattern(100_000)).ok();
    let mut answer = Vec::new();
    let _ = noisy.read_to_end(&mut answer);
    // An alert at most.
    assert!(answer.len() < 50, "{} bytes", answer.len());

    // More than may be silent at once: the oldest have gone when the last is there.
    let silent: Vec<_> = (0..600)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    let (_bridge, mut client) = server.dial();
    client.send(&get(1));
    assert_eq!(server.adopt().receive(1), [get(1)]);
    let mut first = &silent[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(first.read(&mut [0; 9]), Ok(0) | Err(_)));
    let last = silent.last().unwrap();
    last.set_nonblocking(true).unwrap();
    let mut still = last;
    assert_eq!(
        still.read(&mut [0; 9]).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    let warned = server.warned.recv_timeout(PATIENCE).unwrap();
    assert!(warned.contains("unknown peers"), "{warned}");
}

#[test]
fn what_was_written_before_a_close_arrives() {
    let server = Server::start();
    let (mut bridge, mut client) = server.dial();
    let data = Bytes::from(pattern(3 * PART));
    let sent = object(1, &data);
    let mut store = server.adopt();
    std::thread::scope(|scope| {
        let got = scope.spawn(|| {
            let got = store.receive(sent.len());
            (got, store.is_over())
        });
        sent.iter().for_each(|one| client.send(one));
        bridge.stop();
        bridge.join();
        let (got, over) = got.join().unwrap();
        assert!(got == sent && over);
    });
    assert!(client.is_over());
}

#[test]
fn what_was_written_before_its_loop_closed_arrives_at_a_peer_that_reads_late() {
    let server = Server::start();
    let (_bridge, mut client) = server.dial();
    let mut store = server.adopt();
    // More than the sockets take, in payloads that are in no files.
    let part = Bytes::from(pattern(200_000));
    let sent: Vec<_> = (0..400).map(|at| object(at, &part)[0].clone()).collect();
    sent.iter().for_each(|one| client.output.push(one));
    let deadline = Instant::now() + PATIENCE;
    while client.output.unsent() > 0 {
        assert!(Instant::now() < deadline, "it is not taken");
        let done = client.output.write(client.socket.as_fd()).unwrap();
        let stuck = |end: &End| {
            let patience = Some(Duration::from_millis(200));
            !linux::poll(Some(end.socket.as_fd()), true, None, patience)
                .unwrap()
                .socket
        };
        if !done && stuck(&client) {
            break;
        }
    }
    let whole = sent.len() - (client.output.unsent() + 200_100) / 200_100;
    drop(client);
    let got = store.receive(sent.len());
    assert!(
        got.len() >= whole && got[..] == sent[..got.len()],
        "{} of {whole}",
        got.len()
    );
}

#[test]
fn a_server_that_ends_says_all_that_it_had_to_say() {
    let mut server = Server::start();
    let (_bridge, mut client) = server.dial();
    let mut store = server.adopt();
    let sent: Vec<_> = (0..100).map(get).collect();
    sent.iter().for_each(|one| store.send(one));
    server.listener.stop();
    assert_eq!(client.receive(100), sent);
    assert!(client.is_over() && store.is_over());
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn who_does_not_read_holds_back_his_own_peer_and_nobody_else() {
    let server = Server::start();
    let (_slow_bridge, mut slow) = server.dial();
    let mut towards_slow = server.adopt();
    let (_bridge, mut client) = server.dial();
    let mut store = server.adopt();
    // 128 KiB of them.
    const MOST: u32 = 1024;
    let part = Bytes::from(pattern(128 << 10));
    let mut sent = 0;
    // Both sides' kernels and bridges take some of it, and then no more.
    let stuck = |end: &mut End| !end.output.write(end.socket.as_fd()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(200) {
        assert!(
            Instant::now() < deadline && sent < MOST,
            "nothing holds it back"
        );
        if !stuck(&mut towards_slow) {
            towards_slow.output.push(&object(sent, &part)[0]);
            sent += 1;
            since = Instant::now();
        }
        client.send(&get(7));
        assert_eq!(store.receive(1), [get(7)]);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while stuck(&mut towards_slow) {
                towards_slow.wait(true);
            }
        });
        assert_eq!(slow.receive(sent as usize).len(), sent as usize);
    });
}

#[test]
fn who_comes_by_curve_is_told_where_tls_is_and_then_is_the_loops() {
    let server = Server::start();
    let (mut peer, pair) = std::os::unix::net::UnixStream::pair().unwrap();
    server
        .listener
        .introduce(pair.into(), "somebody".into())
        .unwrap();
    peer.write_all(&question()[..7]).unwrap();
    peer.write_all(&question()[7..]).unwrap();
    let mut answer = [0; ANSWER];
    peer.read_exact(&mut answer).unwrap();
    let told = Introduction::read(&answer).unwrap();
    let (port, pin) = (server.address.port(), server.listener.pin());
    assert_eq!(told, Introduction { port, pin });
    peer.write_all(b"a hello").unwrap();
    let (socket, host) = server.adopted.recv_timeout(PATIENCE).unwrap();
    let mut said = [0; 7];
    std::os::unix::net::UnixStream::from(socket)
        .read_exact(&mut said)
        .unwrap();
    assert_eq!((&said, &host[..]), (b"a hello", "somebody"));
}
