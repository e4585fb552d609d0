//! A simple model of managers and their units, second by second: they take time to start, some never come up, some die.

use std::collections::VecDeque;

use scaler_engine::scaling::{Demand, Supply};

use crate::load::Burst;
use crate::random::Random;

/// What a manager is told to be.
#[derive(Clone, Debug)]
pub struct Manager {
    pub name: &'static str,
    pub least: u32,
    pub most: u32,
    pub slots: u32,
    /// Seconds from the command to its node, between these two.
    pub startup: (u64, u64),
    /// One start of so many fails; 0: none.
    pub fails: u64,
    /// Units die after this many seconds on the average; 0: never.
    pub lives: u64,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    burst: usize,
    seconds: u64,
    ends: u64,
}

#[derive(Debug)]
struct Unit {
    ready: u64,
    fails: bool,
    dies: u64,
    running: Vec<Task>,
}

#[derive(Debug)]
struct Host {
    manager: Manager,
    units: Vec<Unit>,
}

/// What a day came to. Slot-seconds.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub paid: u64,
    pub worked: u64,
    pub starts: u64,
    /// Tasks that lost what they had done.
    pub again: u64,
}

/// Which units go where there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The newest with nothing at it, and none else.
    Idle,
    /// The oldest, whatever runs there.
    Oldest,
}

pub struct Cluster {
    now: u64,
    random: Random,
    hosts: Vec<Host>,
    queue: VecDeque<(usize, u64, u64)>,
    left: Vec<u64>,
    mean_us: u64,
    pub account: Account,
    /// For each burst, when its last task was done.
    pub done: Vec<Option<u64>>,
}

impl Cluster {
    pub fn new(managers: &[Manager], bursts: &[Burst]) -> Self {
        let host = |manager: &Manager| Host {
            manager: manager.clone(),
            units: Vec::new(),
        };
        Cluster {
            now: 0,
            random: Random(7),
            hosts: managers.iter().map(host).collect(),
            queue: VecDeque::new(),
            left: bursts.iter().map(|burst| burst.tasks).collect(),
            mean_us: 0,
            account: Account::default(),
            done: vec![None; bursts.len()],
        }
    }

    pub fn submit(&mut self, burst: usize, tasks: u64, seconds: u64) {
        self.queue.push_back((burst, tasks, seconds));
    }

    pub fn demand(&self) -> Demand {
        Demand {
            tasks: self.tasks(),
            mean_us: self.mean_us,
            ..Demand::default()
        }
    }

    /// Waiting and running.
    pub fn tasks(&self) -> u64 {
        let waiting: u64 = self.queue.iter().map(|&(_, tasks, _)| tasks).sum();
        let units = self.hosts.iter().flat_map(|host| &host.units);
        waiting + units.map(|unit| unit.running.len() as u64).sum::<u64>()
    }

    /// Of what is up or starts: what is paid for.
    pub fn slots(&self) -> u64 {
        let slots = |host: &Host| host.units.len() as u64 * u64::from(host.manager.slots);
        self.hosts.iter().map(slots).sum()
    }

    pub fn supplies(&self) -> Vec<Supply> {
        let of = |host: &Host| Supply {
            manager: host.manager.name.into(),
            most: host.manager.most,
            least: host.manager.least,
            slots: host.manager.slots,
            startup_us: (host.manager.startup.0 + host.manager.startup.1) / 2 * 1_000_000,
            groups: host.units.len() as u32,
            busy: host
                .units
                .iter()
                .filter(|unit| !unit.running.is_empty())
                .count() as u32,
            ready: true,
            ..Supply::default()
        };
        self.hosts.iter().map(of).collect()
    }

    /// As many groups of each manager as are wanted.
    pub fn set(&mut self, wanted: &[u32], victim: Victim) {
        for (index, &wanted) in wanted.iter().enumerate() {
            while self.hosts[index].units.len() < wanted as usize {
                self.start(index);
            }
            let units = &mut self.hosts[index].units;
            while units.len() > wanted as usize {
                let found = match victim {
                    Victim::Idle => units.iter().rposition(|unit| unit.running.is_empty()),
                    Victim::Oldest => Some(0),
                };
                let Some(at) = found else { break };
                let unit = units.remove(at);
                give_back(&mut self.queue, &mut self.account, self.now, unit);
            }
        }
    }

    fn start(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let (low, high) = host.manager.startup;
        let ready = self.now + self.random.between(low, high);
        let fails = host.manager.fails > 0 && self.random.between(1, host.manager.fails) == 1;
        let dies = match host.manager.lives {
            0 => u64::MAX,
            // Twice the mean at most: near enough to the many ways to die.
            mean => ready + self.random.between(1, 2 * mean),
        };
        host.units.push(Unit {
            ready,
            fails,
            dies,
            running: Vec::new(),
        });
        self.account.starts += 1;
    }

    /// One second passes.
    pub fn step(&mut self) {
        self.account.paid += self.slots();
        self.now += 1;
        for host in &mut self.hosts {
            let mut index = 0;
            while index < host.units.len() {
                let unit = &mut host.units[index];
                finish(
                    unit,
                    self.now,
                    &mut self.account,
                    &mut self.left,
                    &mut self.done,
                    &mut self.mean_us,
                );
                if unit.dies <= self.now || (unit.fails && unit.ready <= self.now) {
                    let unit = host.units.remove(index);
                    give_back(&mut self.queue, &mut self.account, self.now, unit);
                } else {
                    index += 1;
                }
            }
        }
        self.place();
    }

    fn place(&mut self) {
        for host in &mut self.hosts {
            for unit in host
                .units
                .iter_mut()
                .filter(|unit| unit.ready <= self.now && !unit.fails)
            {
                while unit.running.len() < host.manager.slots as usize {
                    let Some((burst, tasks, seconds)) = self.queue.front_mut() else {
                        return;
                    };
                    let task = Task {
                        burst: *burst,
                        seconds: *seconds,
                        ends: self.now + *seconds,
                    };
                    *tasks -= 1;
                    if *tasks == 0 {
                        self.queue.pop_front();
                    }
                    unit.running.push(task);
                }
            }
        }
    }
}

fn finish(
    unit: &mut Unit,
    now: u64,
    account: &mut Account,
    left: &mut [u64],
    done: &mut [Option<u64>],
    mean_us: &mut u64,
) {
    unit.running.retain(|task| {
        if task.ends > now {
            return true;
        }
        account.worked += task.seconds;
        left[task.burst] -= 1;
        if left[task.burst] == 0 {
            done[task.burst] = Some(now);
        }
        let seconds = task.seconds * 1_000_000;
        *mean_us = if *mean_us == 0 {
            seconds
        } else {
            (*mean_us * 7 + seconds) / 8
        };
        false
    });
}

fn give_back(queue: &mut VecDeque<(usize, u64, u64)>, account: &mut Account, now: u64, unit: Unit) {
    for task in unit.running {
        account.again += u64::from(now + task.seconds > task.ends);
        queue.push_front((task.burst, 1, task.seconds));
    }
}
