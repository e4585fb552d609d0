//! What connections leave in a process: nothing. Alone in its own, for others would be counted too.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{channel, Sender};
use std::time::{Duration, Instant};

use scaler_tls::bridge::Bridge;
use scaler_tls::dial::dial;
use scaler_tls::listener::{Host, Listener, Settings};
use scaler_wire::{encode, Codec, Frame, Message};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Adopting(Sender<OwnedFd>);

impl Host for Adopting {
    fn adopt(&self, socket: OwnedFd, _: String) {
        let _ = self.0.send(socket);
    }

    fn warn(&self, text: String) {
        panic!("{text}");
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn blocking(socket: OwnedFd) -> UnixStream {
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn connections_leave_no_descriptors() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (host, adopted) = channel();
    let settings = Settings {
        codec: Codec::Off,
        most_peers: 10,
    };
    let listener =
        Listener::start(Some(socket), &[1; 32], &[2; 32], settings, Adopting(host)).unwrap();
    let frame: Frame<bytes::Bytes> = Frame {
        link: 1,
        epoch: 1,
        sequence: 1,
        acknowledged: 0,
        messages: vec![Message::Heartbeat],
    };
    let mut bytes = Vec::new();
    encode(&frame, &mut bytes, &mut Vec::new());
    let once = || -> Bridge {
        let dialled = dial(
            address,
            &[2; 32],
            &listener.pin(),
            Codec::Off,
            PATIENCE,
            PATIENCE,
        );
        let (bridge, pair) = dialled.unwrap();
        let mut client = blocking(pair);
        client.write_all(&bytes).unwrap();
        let mut store = blocking(adopted.recv_timeout(PATIENCE).unwrap());
        let mut got = vec![0; bytes.len()];
        store.read_exact(&mut got).unwrap();
        drop(client);
        assert_eq!(store.read(&mut got).unwrap(), 0);
        bridge
    };
    once().join();
    let before = descriptors();
    // More than may be there at once: those that ended do not count.
    for _ in 0..30 {
        once().join();
    }
    let deadline = Instant::now() + PATIENCE;
    while descriptors() > before {
        assert!(
            Instant::now() < deadline,
            "{} descriptors stay",
            descriptors()
        );
        std::thread::yield_now();
    }
}
