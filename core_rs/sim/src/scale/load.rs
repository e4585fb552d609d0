//! Clients that submit everything at once, and see that each task has one outcome.

use scaler_engine::scheduler::Scheduler;
use scaler_engine::wire::{
    Block, CallStyle, Form, Hello, LinkId, Message, Options, OutcomeKind, Payload, Range, Role,
    Segment, Submit,
};

use crate::data::Data;
use crate::queue::Time;

/// Sessions, and links, from here on.
const FIRST: u64 = 1 << 32;
const CLIENTS: u64 = 100;
/// Tasks of a submission: as neighbours gather.
const GATHERED: u64 = 64;
const FUNCTION: [u8; 16] = [1; 16];

/// A task at a node.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub range: Range,
    pub takes: Time,
    pub began: Time,
}

impl Task {
    pub fn done(&self) -> Message<Data> {
        Message::Done {
            session: self.range.session,
            segment: Segment {
                first: self.range.first,
                count: 1,
                kind: OutcomeKind::ValueSingle,
                payload: Data::empty(),
                failure: None,
                except: Vec::new(),
                busy_us: self.takes,
            },
        }
    }
}

pub struct Clients {
    each: u64,
    submitted: u64,
    payload: Data,
    /// A bit for each task that had its outcome, by client.
    seen: Vec<Vec<u64>>,
    outcomes: u64,
    at_nodes: u64,
}

impl Clients {
    /// `tasks`: of all of them; each has as many.
    pub fn new(tasks: u64) -> Clients {
        let each = tasks.div_ceil(CLIENTS);
        let words = each.div_ceil(64) as usize;
        Clients {
            each,
            submitted: 0,
            payload: Data::from_vec(vec![7; GATHERED as usize * 6]),
            seen: vec![vec![0; words]; CLIENTS as usize],
            outcomes: 0,
            at_nodes: 0,
        }
    }

    pub fn join(&self, scheduler: &mut Scheduler<Data>) {
        for link in FIRST..FIRST + CLIENTS {
            let hello = Hello {
                session: link,
                ..Hello::new(Role::Client)
            };
            let joined = scheduler.joined(0, link, &hello, "here");
            joined.expect("a client may join");
            let function = Message::Function {
                id: FUNCTION,
                payload: Data::from_vec(vec![7; 100]),
            };
            scheduler.handle(0, link, function);
        }
    }

    /// The clients take turns.
    pub fn submission(&mut self) -> Option<(LinkId, Message<Data>)> {
        let first = self.submitted / CLIENTS * GATHERED;
        if first >= self.each {
            return None;
        }
        let link = FIRST + self.submitted % CLIENTS;
        self.submitted += 1;
        let block = Block {
            count: GATHERED.min(self.each - first) as u32,
            form: Form::List,
            payload: self.payload.clone(),
        };
        let submit = Submit {
            function: FUNCTION,
            first,
            options: Options {
                style: CallStyle::One,
                ..Options::default()
            },
            blocks: vec![block],
            objects: Vec::new(),
            finished: Vec::new(),
            graph: None,
        };
        Some((link, Message::Submit(submit)))
    }

    pub fn hear(&mut self, link: LinkId, message: Message<Data>) {
        let Message::Results { segments } = message else {
            return;
        };
        let seen = &mut self.seen[(link - FIRST) as usize];
        for segment in segments {
            assert!(segment.except.is_empty(), "each element is told alone");
            for sequence in segment.first..segment.first + u64::from(segment.count) {
                let (word, bit) = (sequence as usize / 64, 1 << (sequence % 64));
                assert_eq!(seen[word] & bit, 0, "a second outcome of {sequence}");
                seen[word] |= bit;
                self.outcomes += 1;
            }
        }
    }

    /// Nodes have so many more.
    pub fn assigned(&mut self, count: u64) {
        self.at_nodes += count;
    }

    pub fn given_back(&mut self, count: u64) {
        self.at_nodes -= count;
    }

    /// Whether all are or were at nodes.
    pub fn all_assigned(&self) -> bool {
        self.at_nodes == self.each * CLIENTS
    }

    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    pub fn all_done(&self) -> bool {
        self.outcomes == self.each * CLIENTS
    }

    pub fn check(&self) {
        let words = self.seen.iter().flatten();
        let seen: u64 = words.map(|word| u64::from(word.count_ones())).sum();
        assert_eq!(seen, self.each * CLIENTS, "each task has its outcome");
    }
}
