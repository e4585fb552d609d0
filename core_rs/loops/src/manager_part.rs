//! A worker manager in a loop: its engine and its link to the scheduler. Hooks and the ledger are the host's.

use std::sync::Arc;

use bytes::Bytes;
use mio::Registry;
use scaler_engine::dialer::DialerEvent;
use scaler_engine::manager::{Entry, Manager, ManagerConfig, ManagerOutput};
use scaler_wire::{Hello, ManagerInfo, Message, RefusalCode, Role};

use crate::connections::Connections;
use crate::node_part::level_name;
use crate::offload_part::OffloadSettings;
use crate::outward::OutwardLink;
use crate::shared::{Outward, Request, Shared};

/// How long a manager that ends waits for the scheduler to take what it has to say.
const LAST_WORDS_US: u64 = 3_000_000;

#[derive(Clone, Debug)]
pub struct ManagerSettings {
    pub config: ManagerConfig,
    pub info: ManagerInfo,
    /// What the ledger has.
    pub entries: Vec<Entry>,
    /// Where its units are jobs of the node in this loop.
    pub offload: Option<OffloadSettings>,
    pub ticket: Vec<u8>,
    pub properties: Vec<(String, String)>,
}

impl ManagerSettings {
    pub fn hello(&self) -> Hello {
        Hello {
            ticket: self.ticket.clone(),
            manager: Some(Box::new(self.info.clone())),
            properties: self.properties.clone(),
            ..Hello::new(Role::Manager)
        }
    }
}

pub struct ManagerPart {
    pub engine: Manager<Bytes>,
    outputs: Vec<ManagerOutput<Bytes>>,
    /// `None`: whom it serves is in this loop.
    pub scheduler: Option<OutwardLink>,
    /// It ends so, at the latest at that time.
    exiting: Option<(bool, String, u64)>,
    shared: Arc<Shared>,
}

impl ManagerPart {
    /// `local`: it serves the node of this loop, and has no scheduler of its own.
    pub fn new(settings: &ManagerSettings, now: u64, local: bool, shared: &Arc<Shared>) -> Self {
        // Its signs of life are the link's own, however often or seldom the infrastructure is looked at.
        let scheduler = (!local).then(|| {
            let hello = settings.hello();
            let mut link = OutwardLink::new(Outward::Scheduler, hello, Arc::clone(shared));
            link.want();
            link
        });
        ManagerPart {
            engine: Manager::new(settings.config.clone(), settings.entries.clone(), now),
            outputs: Vec::new(),
            scheduler,
            exiting: None,
            shared: Arc::clone(shared),
        }
    }

    pub fn tick(&mut self, now: u64) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.tick(now);
        }
        // After what arrived was handed in: it may be what was waited for.
        if self.engine.next_wakeup().is_some_and(|at| at <= now) {
            self.engine.tick(now);
        }
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let exit = self.exiting.as_ref().map(|(.., at)| *at);
        let wakeups = [
            self.scheduler.as_ref().and_then(OutwardLink::next_wakeup),
            self.engine.next_wakeup(),
            exit,
        ];
        wakeups.into_iter().flatten().min()
    }

    /// What the link brought.
    pub fn on_links(&mut self, now: u64) {
        while let Some(event) = self.scheduler.as_mut().and_then(OutwardLink::poll_event) {
            match event {
                DialerEvent::Message(message) => self.engine.handle(now, message),
                DialerEvent::Welcomed { .. } => self.engine.connected(now, true),
                DialerEvent::Fresh { .. } => {
                    self.engine.connected(now, true);
                    self.engine.reset(now);
                }
                // The cluster ends: nobody needs the units any more. Other refusals are the host's to judge.
                DialerEvent::Refused {
                    code: RefusalCode::Closing,
                    reason,
                } => self.engine.handle(now, Message::Closing { reason }),
                DialerEvent::Refused { .. } => {}
            }
        }
    }

    /// The connection may be gone: what it brought last is heard first.
    pub fn on_link_changed(&mut self, now: u64) {
        if self
            .scheduler
            .as_ref()
            .is_some_and(OutwardLink::lacks_connection)
        {
            self.on_links(now);
            self.engine.connected(now, false);
        }
    }

    /// Does what the engine wants. What it says goes to `local` where it has no scheduler. False when there was nothing.
    pub fn drain(&mut self, now: u64, mut local: impl FnMut(Message<Bytes>)) -> bool {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.engine.drain(&mut outputs);
        let moved = !outputs.is_empty();
        for output in outputs.drain(..) {
            match (output, &mut self.scheduler) {
                (ManagerOutput::ToScheduler(message), Some(scheduler)) => scheduler.send(message),
                (ManagerOutput::ToScheduler(message), None) => local(message),
                (output, _) => self.act(now, output),
            }
        }
        self.outputs = outputs;
        moved
    }

    fn act(&mut self, now: u64, output: ManagerOutput<Bytes>) {
        match output {
            ManagerOutput::ToScheduler(_) => {}
            ManagerOutput::Record { number, entries } => {
                self.shared.ask(Request::Record { number, entries });
            }
            ManagerOutput::Call { id, call } => self.shared.ask(Request::Call { id, call }),
            ManagerOutput::Restart { reason } => self.shared.ask(Request::Restart { reason }),
            ManagerOutput::Exit { failed, reason } => {
                self.exiting
                    .get_or_insert((failed, reason, now + LAST_WORDS_US));
            }
            ManagerOutput::Log { level, text } => {
                let level = level_name(level);
                self.shared.ask(Request::Log { level, text });
            }
        }
    }

    /// Queues what may leave; true when the connection was closed.
    pub fn transmit<O: Copy>(
        &mut self,
        now: u64,
        connections: &mut Connections<O>,
        registry: &Registry,
    ) -> bool {
        let scheduler = self.scheduler.as_mut();
        let closed = scheduler.is_some_and(|it| it.transmit(now, connections, registry));
        if closed {
            self.on_link_changed(now);
        }
        closed
    }

    /// Tells the host that the manager is done, once the scheduler has heard everything, if it is there. `node`: that of
    /// the node in this loop.
    pub fn end_if_done(&mut self, now: u64, node: Option<&OutwardLink>) {
        let told = match self.scheduler.as_ref().or(node) {
            Some(link) => !link.is_open() || link.is_idle(),
            None => true,
        };
        let due = |(_, _, at): &mut (bool, String, u64)| told || *at <= now;
        if let Some((failed, reason, _)) = self.exiting.take_if(due) {
            self.shared.ask(Request::ManagerExit { failed, reason });
        }
    }
}
