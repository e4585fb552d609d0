//! What tasks write, for sessions whose client wants it: each node is told of such a session, passes on what its tasks
//! write, and is told when the session is over. The links leave out what a peer does not read ([`crate::link`]).

use crate::wire::{LinkId, Message, Payload, SessionId};

use super::arrays::SessionIndex;
use super::Scheduler;

impl<P: Payload> Scheduler<P> {
    pub(super) fn stream_output(&mut self, index: SessionIndex) {
        let session = &mut self.sessions[index as usize];
        if !std::mem::replace(&mut session.streams, true) {
            let id = session.id;
            self.tell_nodes_to_listen(id, true);
        }
    }

    pub(super) fn tell_nodes_to_listen(&mut self, session: SessionId, on: bool) {
        let nodes: Vec<LinkId> = self.nodes.iter().map(|(_, node)| node.link).collect();
        for link in nodes {
            self.send(link, Message::Listen { session, on });
        }
    }

    /// A node that joins.
    pub(super) fn tell_who_listens(&mut self, node: LinkId) {
        let streaming = self.sessions.iter().filter(|(_, session)| session.streams);
        let sessions: Vec<SessionId> = streaming.map(|(_, session)| session.id).collect();
        for session in sessions {
            self.send(node, Message::Listen { session, on: true });
        }
    }

    /// Of a session that is over, or never asked, nothing is passed on: a node may not have heard of its end.
    pub(super) fn output(&mut self, id: SessionId, lines: u32, dropped: u64, payload: P) {
        let Some(index) = self.session_of(id) else {
            return;
        };
        let session = &self.sessions[index as usize];
        if session.streams {
            let link = session.link;
            self.send(
                link,
                Message::Output {
                    session: id,
                    lines,
                    dropped,
                    payload,
                },
            );
        }
    }
}
