//! Calls that leave, and those that do not come back.

use crate::wire::Payload;

use super::config::{Call, CallId, Level, ManagerOutput};
use super::group::Phase;
use super::groups::{Number, Queue};
use super::Manager;

/// So many failures in a row are told to the scheduler.
const TROUBLE: u32 = 2;

#[derive(Debug)]
pub(super) enum Purpose {
    Start(Vec<Number>),
    Shutdown(Vec<Number>),
    Heartbeat,
    Cleanup,
}

impl Purpose {
    pub fn hook(&self) -> &'static str {
        match self {
            Purpose::Start(_) => "start",
            Purpose::Shutdown(_) => "shutdown",
            Purpose::Heartbeat => "heartbeat",
            Purpose::Cleanup => "cleanup",
        }
    }

    pub fn groups(&self) -> &[Number] {
        match self {
            Purpose::Start(groups) | Purpose::Shutdown(groups) => groups,
            Purpose::Heartbeat | Purpose::Cleanup => &[],
        }
    }
}

/// A call that has not come back.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub purpose: Purpose,
    pub began: u64,
    /// It is past its deadline.
    pub late: bool,
}

/// Failures of one hook in a row.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    pub count: u32,
    pub text: String,
}

impl Troubles {
    /// Whether this is news for people: they need not read the same line each second.
    pub fn failed(&mut self, text: &str) -> bool {
        self.count = self.count.saturating_add(1);
        let news = self.text != text || self.count.is_power_of_two();
        text.clone_into(&mut self.text);
        news
    }

    pub fn over(&mut self) {
        self.count = 0;
        self.text.clear();
    }

    pub fn is_worth_telling(&self) -> bool {
        self.count >= TROUBLE
    }
}

impl<P: Payload> Manager<P> {
    /// What is due leaves, as far as pace and limits let it.
    pub(super) fn dispatch(&mut self) {
        self.look_if_due();
        while !self.over && self.has_free_call() && self.pace.opens_at() <= self.now {
            let ends = self.take_ends();
            if !ends.is_empty() {
                self.call_shutdown(ends);
                continue;
            }
            let starts = self.take_starts();
            if starts.is_empty() {
                return;
            }
            self.call_start(starts);
        }
    }

    /// When `dispatch` has something to do, looking apart.
    pub(super) fn departure_wakeup(&self) -> Option<u64> {
        if !self.has_free_call() {
            return None;
        }
        let first = |queue: &Queue| queue.first().map(|(at, _)| *at);
        let ends = first(&self.groups.doomed).filter(|_| self.may_end());
        let again = first(&self.groups.again).filter(|_| self.may_start());
        let room = self.may_start() && self.room() > 0;
        let fresh = first(&self.groups.fresh).filter(|_| room);
        let at = [ends, again, fresh].into_iter().flatten().min()?;
        Some(at.max(self.pace.opens_at()))
    }

    fn has_free_call(&self) -> bool {
        // At the end nobody waits for what hangs.
        let given_up = |call: &UnderWay| call.late && self.leaving.is_some();
        let busy =
            |call: &&UnderWay| !matches!(call.purpose, Purpose::Heartbeat) && !given_up(call);
        self.calls.values().filter(busy).count() < self.config.calls as usize
    }

    fn may_end(&self) -> bool {
        self.watching.knows || self.leaving.is_some()
    }

    /// What starts without a scheduler would wait for it, and cost.
    fn may_start(&self) -> bool {
        self.watching.knows && self.leaving.is_none() && self.away_since.is_none()
    }

    /// Units that may still come to be.
    pub(super) fn room(&self) -> u32 {
        self.config.most_groups.saturating_sub(self.groups.occupied)
    }

    fn take_ends(&self) -> Vec<Number> {
        if !self.may_end() {
            return Vec::new();
        }
        due(&self.groups.doomed, self.now, self.config.batch)
    }

    fn take_starts(&self) -> Vec<Number> {
        if !self.may_start() {
            return Vec::new();
        }
        let batch = self.config.batch;
        let mut starts = due(&self.groups.again, self.now, batch);
        let left = self.room().min(batch - starts.len() as u32);
        if left > 0 {
            starts.extend(due(&self.groups.fresh, self.now, left));
        }
        starts
    }

    fn call_start(&mut self, numbers: Vec<Number>) {
        let of = |number: &Number| self.groups.get(*number).expect("it is due").request();
        let requests = numbers.iter().map(of).collect();
        let call = self.call(Call::Start(requests), Purpose::Start(numbers.clone()));
        for number in numbers {
            self.groups.change(number, |group| {
                group.phase = Phase::Starting { call };
                group.called = true;
                group.since = call;
            });
        }
        self.pace.left(self.now);
    }

    fn call_shutdown(&mut self, numbers: Vec<Number>) {
        let of = |number: &Number| self.groups.get(*number).expect("it is due").name.clone();
        let names = numbers.iter().map(of).collect();
        let call = self.call(Call::Shutdown(names), Purpose::Shutdown(numbers.clone()));
        for number in numbers {
            self.groups.change(number, |group| {
                group.phase = Phase::Ending { call };
                group.since = call;
            });
        }
        self.pace.left(self.now);
    }

    pub(super) fn call(&mut self, call: Call, purpose: Purpose) -> CallId {
        self.last_call += 1;
        let id = self.last_call;
        let under_way = UnderWay {
            purpose,
            began: self.now,
            late: false,
        };
        self.calls.insert(id, under_way);
        self.out.push(ManagerOutput::Call { id, call });
        id
    }

    /// Calls past their deadline; past twice that nothing but a new start of the process helps.
    pub(super) fn watch_calls(&mut self) {
        let deadline = self.config.deadline_us;
        let late: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| !call.late && self.now >= call.began.saturating_add(deadline))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.note_late(id);
        }
        let hanging = self.calls.values().find(|call| {
            self.now >= call.began.saturating_add(deadline.saturating_mul(2))
                && self.leaving.is_none()
        });
        if let Some(call) = hanging.filter(|_| !self.over) {
            let seconds = (self.now - call.began) / 1_000_000;
            let reason = format!("{} has not come back for {seconds} s", call.purpose.hook());
            self.record();
            self.out.push(ManagerOutput::Restart { reason });
            self.over = true;
        }
    }

    fn note_late(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.late = true;
        let seconds = self.config.deadline_us / 1_000_000;
        let text = format!("{} has not come back for {seconds} s", call.purpose.hook());
        let numbers = call.purpose.groups().to_vec();
        for number in numbers {
            self.groups.change(number, |group| group.fail(&text));
            #[cfg(feature = "planted")]
            self.mistake_unknown(number);
        }
        match self.calls[&id].purpose {
            Purpose::Start(_) => {
                self.troubles.failed(&text);
            }
            Purpose::Heartbeat => {
                self.watching.troubles.failed(&text);
            }
            Purpose::Shutdown(_) | Purpose::Cleanup => {}
        }
        self.log(Level::Warning, text);
    }

    /// Planted: what to do with a group of which nobody knows whether it was started.
    #[cfg(feature = "planted")]
    pub(super) fn mistake_unknown(&mut self, number: Number) {
        let at = self.now;
        let Some(group) = self.groups.get(number) else {
            return;
        };
        let starts = matches!(group.phase, Phase::Starting { .. } | Phase::Unsure);
        if starts && self.bugs.forget_unknown {
            self.groups.forget(number);
        } else if starts && self.bugs.double_start {
            self.groups
                .change(number, |group| group.phase = Phase::Waiting { at });
        }
    }

    pub(super) fn calls_wakeup(&self) -> Option<u64> {
        let deadline = self.config.deadline_us;
        let due = |call: &UnderWay| match call.late {
            false => Some(call.began.saturating_add(deadline)),
            true if self.leaving.is_none() => {
                Some(call.began.saturating_add(deadline.saturating_mul(2)))
            }
            true => None,
        };
        self.calls.values().filter_map(due).min()
    }
}

/// The first `most` whose time has come.
fn due(queue: &Queue, now: u64, most: u32) -> Vec<Number> {
    let due = queue.iter().take_while(|(at, _)| *at <= now);
    due.take(most as usize).map(|(_, number)| *number).collect()
}
