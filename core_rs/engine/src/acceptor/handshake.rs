//! What an acceptor answers to the first frame of a connection.

use super::{ticket, Acceptor, AcceptorEvent, ConnectionId, Entry, Origin};
use crate::wire::{Frame, Hello, LinkId, Message, Payload, RefusalCode, Welcome, PROTOCOL};

/// How a hello's link goes on.
enum Way {
    /// Both ends remember it: each sends again what the other lacks.
    Resume,
    /// The peer never heard our welcome: the same link, told again.
    Repeat,
    /// From nothing.
    Begin,
}

impl<P: Payload> Acceptor<P> {
    pub(super) fn on_first_frame(
        &mut self,
        now: u64,
        connection: ConnectionId,
        mut frame: Frame<P>,
    ) {
        let first = if frame.sequence == 0 {
            frame.messages.pop()
        } else {
            None
        };
        let Some(Message::Hello(hello)) = first.filter(|_| frame.messages.is_empty()) else {
            self.answer(connection, frame.link, frame.epoch, Message::UnknownLink);
            self.close(connection);
            return;
        };
        let origin = self.connections[&connection].origin.clone();
        if let Err((code, reason)) = self.admit(now, frame.link, frame.epoch, &hello, &origin) {
            self.log_refusal(&origin, &reason);
            self.refuse(connection, frame.link, code, reason);
            return;
        }
        self.on_hello(now, connection, frame, hello, origin);
    }

    fn admit(
        &self,
        now: u64,
        link: LinkId,
        epoch: u32,
        hello: &Hello,
        origin: &Origin,
    ) -> Result<(), (RefusalCode, String)> {
        if hello.protocol != PROTOCOL {
            return Err((RefusalCode::Protocol, self.other_protocol(hello)));
        }
        if let (Some(key), false) = (&self.ticket_key, origin.local) {
            let seconds = self.settings.unix_offset_us.saturating_add(now) / 1_000_000;
            let entry = self.links.get(&link);
            let known =
                entry.is_some_and(|it| (it.role, it.session) == (hello.role, hello.session));
            ticket::check(key, hello, seconds, known)
                .map_err(|reason| (RefusalCode::Ticket, reason.to_owned()))?;
        }
        if let Some(reason) = self.ended.get(&link) {
            return Err((RefusalCode::Malformed, reason.clone()));
        }
        if epoch == u32::MAX {
            return Err((
                RefusalCode::Malformed,
                "there is no epoch after this one".to_owned(),
            ));
        }
        let other = self
            .links
            .get(&link)
            .is_some_and(|entry| (entry.role, entry.session) != (hello.role, hello.session));
        if other {
            return Err((
                RefusalCode::Duplicate,
                "another peer has this link".to_owned(),
            ));
        }
        Ok(())
    }

    fn other_protocol(&self, hello: &Hello) -> String {
        let version = |properties: &[(String, String)]| {
            let version = properties.iter().find(|(name, _)| name == "version");
            version.map_or(String::new(), |(_, version)| {
                format!(" (scaler-py {version})")
            })
        };
        format!(
            "you speak protocol {}{}, this side protocol {PROTOCOL}{}: install the same version of scaler-py on both sides",
            hello.protocol,
            version(&hello.properties),
            version(&self.settings.properties),
        )
    }

    fn on_hello(
        &mut self,
        now: u64,
        connection: ConnectionId,
        frame: Frame<P>,
        hello: Hello,
        origin: Origin,
    ) {
        let id = frame.link;
        match self.way(&frame, &hello) {
            Way::Resume | Way::Repeat => {
                self.connect(now, connection, id);
                self.welcome(connection, id);
                self.events.push_back(AcceptorEvent::Resumed { link: id });
            }
            Way::Begin => {
                let old = self.remove_link(id);
                let epoch = frame
                    .epoch
                    .max(old.as_ref().map_or(0, |old| old.link.epoch()))
                    + 1;
                if let Some(old) = old {
                    self.leave_connection(&old);
                    self.events.push_back(AcceptorEvent::Left {
                        link: id,
                        why: "its peer began anew".to_owned(),
                    });
                }
                let key = self.ticket_key.as_ref().filter(|_| !origin.local);
                let renewed = key.and_then(|key| ticket::renewed(key, &hello.ticket));
                self.insert_link(
                    id,
                    Entry {
                        renewed,
                        ..Entry::new(id, epoch, &hello, now)
                    },
                );
                self.connect(now, connection, id);
                self.welcome(connection, id);
                self.events.push_back(AcceptorEvent::Joined {
                    link: id,
                    hello,
                    origin,
                });
            }
        }
    }

    /// Decides, and makes the link ready for its new connection.
    fn way(&mut self, frame: &Frame<P>, hello: &Hello) -> Way {
        let Some(entry) = self.links.get_mut(&frame.link) else {
            return Way::Begin;
        };
        let same = hello.incarnation == self.incarnation && frame.epoch == entry.link.epoch();
        if same && hello.sent >= entry.link.received() && entry.link.resume(hello.received).is_ok()
        {
            entry.confirmed = true;
            return Way::Resume;
        }
        if !same && !entry.confirmed && entry.link.resume(0).is_ok() {
            return Way::Repeat;
        }
        Way::Begin
    }

    fn welcome(&mut self, connection: ConnectionId, id: LinkId) {
        let entry = &self.links[&id];
        let link = &entry.link;
        let mut properties = self.settings.properties.clone();
        properties.extend(entry.renewed.as_deref().map(ticket::as_property));
        let welcome = Welcome {
            incarnation: self.incarnation,
            epoch: link.epoch(),
            received: link.received(),
            cluster: self.settings.cluster.clone(),
            storage: self.settings.storage.clone(),
            properties,
        };
        let epoch = link.epoch();
        self.answer(connection, id, epoch, Message::Welcome(welcome));
    }

    /// Binds the link to this connection; one that it had before is closed.
    fn connect(&mut self, now: u64, connection: ConnectionId, id: LinkId) {
        self.greet(connection, id);
        let local = self.connections[&connection].origin.local;
        let entry = self.links.get_mut(&id).expect("a link that is there");
        entry.local = local;
        let old = entry.connection.replace(connection);
        entry.last_heard = now;
        let lease = entry
            .must_speak()
            .then(|| now + entry.lease_us(&self.settings));
        self.set_lease(id, lease);
        self.mark_ready(id);
        if let Some(old) = old {
            self.close(old);
        }
    }
}
