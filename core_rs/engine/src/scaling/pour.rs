//! Work poured into bins of slots: what fits where, and what does not fit at all.
//!
//! A maximum flow: a demand that finds its bins full moves others to where else they may go. So what fits never depends
//! on the order of managers or demands, and larger bins never hold less: a policy that shrank to what is needed finds at
//! its next look that what is needed fits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Work is counted in parts of a slot.
pub const SLOT: u128 = 1_000_000;

#[derive(Clone, Debug)]
pub struct Pour<'a> {
    /// The bins that each demand may use, best first.
    fits: &'a [Vec<usize>],
    room: Vec<u128>,
    /// In each bin: what of each demand is there.
    here: Vec<BTreeMap<usize, u128>>,
    /// Bins that are full, as is every other that what is in them may use: nothing gets in before one is enlarged.
    closed: Vec<bool>,
}

impl<'a> Pour<'a> {
    pub fn new(fits: &'a [Vec<usize>], room: Vec<u128>) -> Self {
        let here = vec![BTreeMap::new(); room.len()];
        let closed = vec![false; room.len()];
        Pour {
            fits,
            room,
            here,
            closed,
        }
    }

    pub fn enlarge(&mut self, bin: usize, by: u128) {
        self.room[bin] += by;
        self.closed.fill(false);
    }

    /// What is in a bin.
    #[cfg(test)]
    pub fn filled(&self, bin: usize) -> u128 {
        self.here[bin].values().sum()
    }

    /// What of it does not fit.
    pub fn place(&mut self, demand: usize, mut work: u128) -> u128 {
        for &bin in &self.fits[demand] {
            let part = work.min(self.room[bin]);
            self.put(bin, demand, part);
            work -= part;
        }
        while work > 0 {
            let Some(moves) = self.way(demand) else { break };
            work -= self.push(demand, work, &moves);
        }
        work
    }

    fn put(&mut self, bin: usize, demand: usize, part: u128) {
        if part > 0 {
            self.room[bin] -= part;
            *self.here[bin].entry(demand).or_default() += part;
        }
    }

    fn take(&mut self, bin: usize, demand: usize, part: u128) {
        self.room[bin] += part;
        let there = self.here[bin].get_mut(&demand).expect("it is there");
        *there -= part;
        if *there == 0 {
            self.here[bin].remove(&demand);
        }
    }

    /// Moves that make room in one of a demand's bins: (from, whose, to), the last of them first. The shortest there are.
    fn way(&mut self, demand: usize) -> Option<Vec<(usize, usize, usize)>> {
        let mut came: BTreeMap<usize, Option<(usize, usize)>> = BTreeMap::new();
        let mut asked = BTreeSet::from([demand]);
        let mut queue = VecDeque::new();
        for &bin in &self.fits[demand] {
            if !self.closed[bin] && came.insert(bin, None).is_none() {
                queue.push_back(bin);
            }
        }
        while let Some(bin) = queue.pop_front() {
            for &other in self.here[bin].keys() {
                if !asked.insert(other) {
                    continue;
                }
                for &to in &self.fits[other] {
                    if self.closed[to] || came.contains_key(&to) {
                        continue;
                    }
                    came.insert(to, Some((bin, other)));
                    if self.room[to] > 0 {
                        return Some(back(&came, to));
                    }
                    queue.push_back(to);
                }
            }
        }
        for &bin in came.keys() {
            self.closed[bin] = true;
        }
        None
    }

    /// Makes the moves, for as much as all of them can take, and puts so much of the demand into the room.
    fn push(&mut self, demand: usize, work: u128, moves: &[(usize, usize, usize)]) -> u128 {
        let end = moves[0].2;
        let there = moves
            .iter()
            .map(|&(from, whose, _)| self.here[from][&whose]);
        let part = there.fold(work.min(self.room[end]), u128::min);
        for &(from, whose, to) in moves {
            self.take(from, whose, part);
            self.put(to, whose, part);
        }
        let (first, ..) = *moves.last().expect("a way has moves");
        self.put(first, demand, part);
        part
    }
}

fn back(
    came: &BTreeMap<usize, Option<(usize, usize)>>,
    mut to: usize,
) -> Vec<(usize, usize, usize)> {
    let mut moves = Vec::new();
    while let Some((from, whose)) = came[&to] {
        moves.push((from, whose, to));
        to = from;
    }
    moves
}
