//! What every part of the world may touch: time, chance, the network, the oracle and the story.

use scaler_engine::wire::{Frame, Sequence, SessionId};

use crate::bug::Bug;
use crate::data::Data;
use crate::fleet::promises::Groups;
use crate::fleet::FleetEvent;
use crate::network::{End, Network, Part, Wire};
use crate::oracle::{Oracle, Place};
use crate::profile::{FaultKind, Profile};
use crate::queue::{Queue, Time};
use crate::random::Random;
use crate::story::{About, Story};
use crate::workload::Element;

#[derive(Clone, Debug)]
pub enum Event {
    /// A process gets to what waits for it.
    Turn(Part),
    /// Something may have arrived at an end of a connection.
    Arrive {
        wire: Wire,
        end: End,
    },
    /// An executor, or the agent's end of its socketpair, has something to do.
    Executor {
        node: usize,
        executor: u64,
    },
    Fault(FaultKind),
    /// A client's next planned action.
    Action {
        client: usize,
    },
    Restart(Part),
    /// An element submits others.
    Nest {
        node: usize,
        executor: u64,
    },
    Fleet(FleetEvent),
    FaultsEnd,
    Inspect,
}

pub struct Context {
    pub profile: Profile,
    pub bug: Option<Bug>,
    pub queue: Queue<Event>,
    pub network: Network,
    pub oracle: Oracle,
    pub groups: Groups,
    pub story: Story,
    pub random: Random,
    /// Numbers for everything that must be unique: executors, links, requests.
    numbers: u64,
    /// Executors that do not wait any more, or are gone.
    pub over: Vec<u64>,
}

impl Context {
    pub fn new(profile: Profile, seed: u64, bug: Option<Bug>, told: bool) -> Self {
        let oracle = Oracle::new(profile.max_attempts, profile.most_waiting);
        Context {
            profile,
            bug,
            queue: Queue::default(),
            network: Network::default(),
            oracle,
            groups: Groups::default(),
            story: Story::new(told),
            random: Random::stream(seed, "world"),
            numbers: 0,
            over: Vec::new(),
        }
    }

    pub fn now(&self) -> Time {
        self.queue.now()
    }

    pub fn unique(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Where the order of small numbers must tell nothing.
    pub fn unique_random(&mut self) -> u64 {
        let number = self.unique();
        self.random.number() & !0xffff | number
    }

    pub fn tell(&mut self, part: Part, about: About, text: impl FnOnce() -> String) {
        let now = self.now();
        self.story.tell(now, part, about, text);
    }

    pub fn broken(&mut self, text: String) {
        let now = self.now();
        self.oracle.broken(now, text);
    }

    pub fn connect(&mut self, near: Part, far: Part, listens: bool) -> Wire {
        let (now, latency) = (self.now(), self.profile.latency);
        let (wire, due) = self
            .network
            .connect(now, near, far, listens, latency, &mut self.random);
        for due in due {
            self.queue.at(
                due.at,
                Event::Arrive {
                    wire: due.wire,
                    end: due.end,
                },
            );
        }
        wire
    }

    pub fn send(&mut self, wire: Wire, from: End, frame: Frame<Data>) {
        let now = self.now();
        if let Some(due) = self.network.send(now, wire, from, frame, &mut self.random) {
            self.queue.at(
                due.at,
                Event::Arrive {
                    wire: due.wire,
                    end: due.end,
                },
            );
        }
    }

    pub fn close(&mut self, wire: Wire, from: End) {
        let now = self.now();
        if let Some(due) = self.network.close(now, wire, from, &mut self.random) {
            self.queue.at(
                due.at,
                Event::Arrive {
                    wire: due.wire,
                    end: due.end,
                },
            );
        }
    }

    pub fn cut(&mut self, wire: Wire, notice: Time) {
        let now = self.now();
        for due in self.network.cut(now, wire, notice, &mut self.random) {
            self.queue.at(
                due.at,
                Event::Arrive {
                    wire: due.wire,
                    end: due.end,
                },
            );
        }
    }

    pub fn stall(&mut self, wire: Wire, until: Time) {
        for due in self.network.stall(wire, until) {
            self.queue.at(
                due.at,
                Event::Arrive {
                    wire: due.wire,
                    end: due.end,
                },
            );
        }
    }

    /// A process is gone: its connections go with it.
    pub fn part_died(&mut self, part: Part) {
        let now = self.now();
        for due in self.network.part_died(now, part, &mut self.random) {
            self.queue.at(
                due.at,
                Event::Arrive {
                    wire: due.wire,
                    end: due.end,
                },
            );
        }
    }
}

impl Context {
    /// An element starts at `place`: what it does, and how often it ran before.
    pub fn begin_run(
        &mut self,
        session: SessionId,
        sequence: Sequence,
        place: Place,
    ) -> Option<(Element, u32)> {
        let now = self.now();
        let offered = &self.profile.nodes[place.node].capabilities;
        self.oracle
            .run_begins(now, session, sequence, place, offered)
    }
}
