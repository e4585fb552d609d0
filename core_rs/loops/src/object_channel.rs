//! A client's link to object storage: puts and gets that survive a storage that forgot.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use scaler_engine::dialer::DialerEvent;
use scaler_wire::{
    Hello, LinkId, Message, ObjectKey, RefusalCode, SessionId, StoreErrorCode, Welcome,
};

use crate::dialed::{Dialed, DialedEvent, Waiting};
use crate::mapped;
use crate::port::parts;
use crate::spare_files;

#[derive(Debug)]
pub enum ObjectEvent {
    Stored {
        request: u32,
    },
    /// The whole object, in parts.
    Data {
        request: u32,
        parts: Vec<Bytes>,
    },
    Missing {
        request: u32,
    },
    StoreError {
        request: u32,
        code: StoreErrorCode,
        text: String,
    },
    Refused {
        code: RefusalCode,
        text: String,
    },
    Welcome {
        welcome: Welcome,
        resumed: bool,
    },
    Disconnected,
}

enum Pending {
    Put {
        key: ObjectKey,
        /// In pieces.
        data: Vec<Bytes>,
    },
    Get {
        key: ObjectKey,
        parts: Vec<Bytes>,
        bytes: u64,
    },
}

pub struct ObjectChannel {
    session: SessionId,
    dialed: Dialed,
    pending: BTreeMap<u32, Pending>,
    last_request: u32,
    refused: bool,
}

impl ObjectChannel {
    /// `hello`: of role objects, with the session's number.
    pub fn new(hello: Hello, link: LinkId) -> io::Result<ObjectChannel> {
        let session = hello.session;
        let dialed = Dialed::new(hello, link)?;
        Ok(ObjectChannel {
            session,
            dialed,
            pending: BTreeMap::new(),
            last_request: 0,
            refused: false,
        })
    }

    /// Microseconds between signs of life.
    pub fn with_heartbeat(mut self, heartbeat_us: u64) -> Self {
        self.dialed = self.dialed.with_heartbeat(heartbeat_us);
        self
    }

    pub fn waiting(&self) -> &Arc<Waiting> {
        self.dialed.waiting()
    }

    pub fn attach(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.refused = false;
        self.dialed.attach(socket)
    }

    pub fn detach(&mut self) {
        self.dialed.detach();
    }

    pub fn attached(&self) -> bool {
        self.dialed.attached()
    }

    pub fn unsent(&self) -> bool {
        self.dialed.unsent()
    }

    /// `data` may be in pieces.
    pub fn put(&mut self, hash: [u8; 16], mut data: Vec<Bytes>) -> u32 {
        let key = ObjectKey {
            session: self.session,
            hash,
        };
        if self.dialed.takes_files() {
            data = data.into_iter().map(spare_files::shared).collect();
        }
        self.request(Pending::Put { key, data })
    }

    pub fn get(&mut self, key: ObjectKey) -> u32 {
        self.request(Pending::Get {
            key,
            parts: Vec::new(),
            bytes: 0,
        })
    }

    fn request(&mut self, pending: Pending) -> u32 {
        self.last_request = self.last_request.wrapping_add(1);
        let request = self.last_request;
        say(&mut self.dialed, request, &pending);
        self.pending.insert(request, pending);
        self.dialed.flush();
        request
    }

    /// What happened, in order.
    pub fn read(&mut self) -> Vec<ObjectEvent> {
        let (mut events, mut happened) = (Vec::new(), Vec::new());
        self.dialed.read(&mut events);
        happened.extend(events.drain(..).filter_map(|event| self.on_event(event)));
        self.dialed.flush();
        self.dialed.take_missed(&mut events);
        happened.extend(events.drain(..).filter_map(|event| self.on_event(event)));
        happened
    }

    fn on_event(&mut self, event: DialedEvent) -> Option<ObjectEvent> {
        match event {
            DialedEvent::Disconnected => (!self.refused).then_some(ObjectEvent::Disconnected),
            DialedEvent::Link(DialerEvent::Message(message)) => self.on_message(message),
            DialedEvent::Link(DialerEvent::Welcomed { welcome, resumed }) => {
                Some(ObjectEvent::Welcome { welcome, resumed })
            }
            DialedEvent::Link(DialerEvent::Fresh {
                welcome,
                unacknowledged: _,
            }) => {
                self.say_all_again();
                Some(ObjectEvent::Welcome {
                    welcome,
                    resumed: false,
                })
            }
            DialedEvent::Link(DialerEvent::Refused { code, reason }) => {
                self.refused = true;
                Some(ObjectEvent::Refused { code, text: reason })
            }
        }
    }

    fn say_all_again(&mut self) {
        for (request, pending) in &mut self.pending {
            if let Pending::Get { parts, bytes, .. } = pending {
                parts.clear();
                *bytes = 0;
            }
            say(&mut self.dialed, *request, pending);
        }
    }

    fn on_message(&mut self, message: Message<Bytes>) -> Option<ObjectEvent> {
        match message {
            Message::Stored { request } => self
                .pending
                .remove(&request)
                .map(|_| ObjectEvent::Stored { request }),
            Message::Missing { request } => self
                .pending
                .remove(&request)
                .map(|_| ObjectEvent::Missing { request }),
            Message::StoreError {
                request,
                code,
                text,
            } => self
                .pending
                .remove(&request)
                .map(|_| ObjectEvent::StoreError {
                    request,
                    code,
                    text,
                }),
            Message::Data {
                request,
                size,
                offset,
                payload,
            } => self.on_data(request, size, offset, payload),
            Message::Heartbeat => None,
            _ => {
                self.dialed.give_up();
                None
            }
        }
    }

    fn on_data(
        &mut self,
        request: u32,
        size: u64,
        offset: u64,
        payload: Bytes,
    ) -> Option<ObjectEvent> {
        let Some(Pending::Get { parts, bytes, .. }) = self.pending.get_mut(&request) else {
            return None;
        };
        if offset != *bytes || offset + payload.len() as u64 > size {
            self.dialed.give_up();
            return None;
        }
        *bytes += payload.len() as u64;
        parts.push(payload);
        if *bytes < size {
            return None;
        }
        let Some(Pending::Get { parts, .. }) = self.pending.remove(&request) else {
            return None;
        };
        let parts = mapped::joined(parts);
        Some(ObjectEvent::Data { request, parts })
    }
}

fn say(dialed: &mut Dialed, request: u32, pending: &Pending) {
    match pending {
        Pending::Get { key, .. } => dialed.send(Message::Get { request, key: *key }),
        Pending::Put { key, data } => {
            let (key, size) = (*key, data.iter().map(|piece| piece.len() as u64).sum());
            let mut offset = 0;
            let payloads = data
                .iter()
                .flat_map(|piece| parts(piece.len()).map(|part| piece.slice(part)));
            for payload in payloads {
                let length = payload.len() as u64;
                dialed.send(Message::Put {
                    request,
                    key,
                    size,
                    offset,
                    payload,
                });
                offset += length;
            }
        }
    }
}
