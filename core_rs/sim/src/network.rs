//! Connections between parts: two ordered pipes of frames, each with delays of its own, that can break at any moment.
//!
//! A break loses a tail of what is on the way in each direction, and each end notices in its own time. So an end may have
//! a new connection while the last frames of the old one, which its peer still believes in, are yet to come.

use std::collections::{BTreeMap, VecDeque};

use scaler_engine::wire::Frame;

use crate::data::Data;
use crate::profile::Latency;
use crate::queue::Time;
use crate::random::Random;

/// A process of the simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Client(usize),
    Scheduler,
    Node(usize),
    Store,
    Manager(usize),
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Client(index) => write!(formatter, "client {index}"),
            Part::Scheduler => write!(formatter, "scheduler"),
            Part::Node(index) => write!(formatter, "node {index}"),
            Part::Store => write!(formatter, "store"),
            Part::Manager(index) => write!(formatter, "manager {index}"),
        }
    }
}

pub type Wire = u64;

/// What an end of a connection meets.
#[derive(Clone, Debug)]
pub enum Arrival {
    Opened,
    Frame(Frame<Data>),
    Closed,
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Who connected.
    Near,
    /// Who listened.
    Far,
}

impl End {
    pub fn other(self) -> End {
        match self {
            End::Near => End::Far,
            End::Far => End::Near,
        }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    items: VecDeque<(Time, Arrival)>,
    /// Nothing arrives before what was sent before it.
    last: Time,
    /// Nothing sent from now on arrives.
    broken: bool,
}

#[derive(Debug)]
struct Connection {
    parts: [Part; 2],
    /// Towards near, towards far.
    pipes: [Pipe; 2],
    latency: Latency,
}

/// Something arrives at `end` of `wire` at this time.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub at: Time,
    pub wire: Wire,
    pub end: End,
}

#[derive(Debug, Default)]
pub struct Network {
    connections: BTreeMap<Wire, Connection>,
    made: Wire,
    pub frames: u64,
    pub lost: u64,
}

fn slot(end: End) -> usize {
    match end {
        End::Near => 0,
        End::Far => 1,
    }
}

impl Network {
    /// A connection from `near` to `far`; if nobody listens there it closes at once.
    pub fn connect(
        &mut self,
        now: Time,
        near: Part,
        far: Part,
        listens: bool,
        latency: Latency,
        random: &mut Random,
    ) -> (Wire, Vec<Due>) {
        self.made += 1;
        let wire = self.made;
        let connection = Connection {
            parts: [near, far],
            pipes: Default::default(),
            latency,
        };
        self.connections.insert(wire, connection);
        let mut due = Vec::new();
        if listens {
            due.extend(self.push(now, wire, End::Far, Arrival::Opened, 0, random));
            due.extend(self.push(now, wire, End::Near, Arrival::Opened, 0, random));
        } else {
            due.extend(self.push(now, wire, End::Near, Arrival::Closed, 0, random));
            self.connections
                .get_mut(&wire)
                .expect("just made")
                .pipes
                .iter_mut()
                .for_each(|pipe| pipe.broken = true);
        }
        (wire, due)
    }

    fn push(
        &mut self,
        now: Time,
        wire: Wire,
        end: End,
        arrival: Arrival,
        late: Time,
        random: &mut Random,
    ) -> Option<Due> {
        let connection = self.connections.get_mut(&wire)?;
        let pipe = &mut connection.pipes[slot(end)];
        if pipe.broken {
            return None;
        }
        let at = pipe.last.max(now + connection.latency.draw(random) + late);
        pipe.last = at;
        pipe.broken = matches!(arrival, Arrival::Closed);
        pipe.items.push_back((at, arrival));
        Some(Due { at, wire, end })
    }

    /// `from` sends.
    pub fn send(
        &mut self,
        now: Time,
        wire: Wire,
        from: End,
        frame: Frame<Data>,
        random: &mut Random,
    ) -> Option<Due> {
        self.frames += 1;
        self.push(now, wire, from.other(), Arrival::Frame(frame), 0, random)
    }

    /// `from` closes its end: what it sent before still arrives, then the other end hears of it. Nothing more comes to `from`.
    pub fn close(&mut self, now: Time, wire: Wire, from: End, random: &mut Random) -> Option<Due> {
        let due = self.push(now, wire, from.other(), Arrival::Closed, 0, random);
        if let Some(connection) = self.connections.get_mut(&wire) {
            let back = &mut connection.pipes[slot(from)];
            back.broken = true;
            back.items.clear();
        }
        self.forget_if_over(wire);
        due
    }

    /// The connection breaks: of each direction a tail is lost, and each end hears of it up to `notice` later.
    pub fn cut(&mut self, now: Time, wire: Wire, notice: Time, random: &mut Random) -> Vec<Due> {
        let ends = [End::Near, End::Far];
        ends.into_iter()
            .filter_map(|end| self.cut_towards(now, wire, end, notice, random))
            .collect()
    }

    fn cut_towards(
        &mut self,
        now: Time,
        wire: Wire,
        end: End,
        notice: Time,
        random: &mut Random,
    ) -> Option<Due> {
        let pipe = &mut self.connections.get_mut(&wire)?.pipes[slot(end)];
        let kept = match random.below(3) {
            0 => 0,
            1 => pipe.items.len(),
            _ => random.below(pipe.items.len() as u64 + 1) as usize,
        };
        self.lost += (pipe.items.len() - kept) as u64;
        if !pipe.broken {
            pipe.items.truncate(kept);
            pipe.last = pipe.items.back().map_or(now, |(at, _)| *at);
        }
        let late = if notice == 0 { 0 } else { random.below(notice) };
        self.push(now, wire, end, Arrival::Closed, late, random)
    }

    /// Nothing arrives at either end before `until`.
    pub fn stall(&mut self, wire: Wire, until: Time) -> Vec<Due> {
        let mut due = Vec::new();
        let Some(connection) = self.connections.get_mut(&wire) else {
            return due;
        };
        for end in [End::Near, End::Far] {
            let pipe = &mut connection.pipes[slot(end)];
            pipe.last = pipe.last.max(until);
            for (at, _) in &mut pipe.items {
                *at = (*at).max(until);
            }
            due.extend(pipe.items.iter().map(|(at, _)| Due { at: *at, wire, end }));
        }
        due
    }

    /// `part` is gone: it hears nothing more; what it had sent arrives, or a tail of it does not.
    pub fn part_died(&mut self, now: Time, part: Part, random: &mut Random) -> Vec<Due> {
        let mut due = Vec::new();
        for (wire, end) in self.wires_of(part) {
            if let Some(connection) = self.connections.get_mut(&wire) {
                let pipe = &mut connection.pipes[slot(end)];
                pipe.items.clear();
                pipe.broken = true;
            }
            due.extend(self.cut_towards(now, wire, end.other(), 0, random));
        }
        due
    }

    fn wires_of(&self, part: Part) -> Vec<(Wire, End)> {
        let mut wires = Vec::new();
        for (wire, connection) in &self.connections {
            if connection.parts[0] == part {
                wires.push((*wire, End::Near));
            } else if connection.parts[1] == part {
                wires.push((*wire, End::Far));
            }
        }
        wires
    }

    /// Connections that are whole in both directions.
    pub fn whole(&self) -> Vec<Wire> {
        let whole = |connection: &Connection| connection.pipes.iter().all(|pipe| !pipe.broken);
        self.connections
            .iter()
            .filter(|(_, connection)| whole(connection))
            .map(|(wire, _)| *wire)
            .collect()
    }

    pub fn parts(&self, wire: Wire) -> Option<[Part; 2]> {
        self.connections
            .get(&wire)
            .map(|connection| connection.parts)
    }

    /// What arrives at `end` of `wire` by now, if anything does, and for whom.
    pub fn arrive(&mut self, now: Time, wire: Wire, end: End) -> Option<(Part, Arrival)> {
        let connection = self.connections.get_mut(&wire)?;
        let part = connection.parts[slot(end)];
        let pipe = &mut connection.pipes[slot(end)];
        if pipe.items.front().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, arrival) = pipe.items.pop_front()?;
        self.forget_if_over(wire);
        Some((part, arrival))
    }

    fn forget_if_over(&mut self, wire: Wire) {
        let over = |pipe: &Pipe| pipe.broken && pipe.items.is_empty();
        if self
            .connections
            .get(&wire)
            .is_some_and(|connection| connection.pipes.iter().all(over))
        {
            self.connections.remove(&wire);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u64) -> Frame<Data> {
        Frame {
            link: 1,
            epoch: 1,
            sequence,
            acknowledged: 0,
            messages: Vec::new(),
        }
    }

    fn connected(random: &mut Random) -> (Network, Wire) {
        let mut network = Network::default();
        let latency = Latency {
            least: 10,
            most: 500,
        };
        let (wire, _) = network.connect(0, Part::Client(0), Part::Scheduler, true, latency, random);
        assert!(matches!(
            network.arrive(500, wire, End::Near),
            Some((Part::Client(0), Arrival::Opened))
        ));
        assert!(matches!(
            network.arrive(500, wire, End::Far),
            Some((Part::Scheduler, Arrival::Opened))
        ));
        (network, wire)
    }

    fn arrived(network: &mut Network, wire: Wire, end: End) -> Vec<u64> {
        let mut sequences = Vec::new();
        while let Some((_, arrival)) = network.arrive(Time::MAX, wire, end) {
            sequences.push(if let Arrival::Frame(frame) = arrival {
                frame.sequence
            } else {
                u64::MAX
            });
        }
        sequences
    }

    #[test]
    fn frames_arrive_in_order_whatever_their_delays() {
        let mut random = Random::new(3);
        let (mut network, wire) = connected(&mut random);
        for sequence in 1..=50 {
            network.send(1_000, wire, End::Near, frame(sequence), &mut random);
        }
        assert_eq!(
            arrived(&mut network, wire, End::Far),
            (1..=50).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_cut_loses_only_a_tail_and_both_ends_hear_of_it_last() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let (mut network, wire) = connected(&mut random);
            for sequence in 1..=10 {
                network.send(1_000, wire, End::Near, frame(sequence), &mut random);
            }
            network.cut(1_001, wire, 1_000, &mut random);
            assert!(network
                .send(1_002, wire, End::Near, frame(11), &mut random)
                .is_none());
            let far = arrived(&mut network, wire, End::Far);
            assert_eq!(
                far[..far.len() - 1],
                (1..far.len() as u64).collect::<Vec<_>>()
            );
            assert_eq!(far.last(), Some(&u64::MAX));
            assert_eq!(arrived(&mut network, wire, End::Near), [u64::MAX]);
            assert!(network.connections.is_empty());
        }
    }

    #[test]
    fn a_closed_end_hears_nothing_more_and_its_last_frames_arrive() {
        let mut random = Random::new(3);
        let (mut network, wire) = connected(&mut random);
        network.send(1_000, wire, End::Near, frame(1), &mut random);
        network.send(1_000, wire, End::Far, frame(1), &mut random);
        network.close(1_001, wire, End::Near, &mut random);
        assert_eq!(arrived(&mut network, wire, End::Near), []);
        assert_eq!(arrived(&mut network, wire, End::Far), [1, u64::MAX]);
    }

    #[test]
    fn connecting_to_nobody_closes() {
        let mut random = Random::new(3);
        let mut network = Network::default();
        let latency = Latency {
            least: 10,
            most: 20,
        };
        let (wire, _) = network.connect(0, Part::Node(0), Part::Store, false, latency, &mut random);
        assert_eq!(arrived(&mut network, wire, End::Near), [u64::MAX]);
        assert!(network.connections.is_empty());
    }
}
