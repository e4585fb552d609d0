//! The manager's end: its units first, then what the driver made besides, then itself.

use crate::wire::Payload;

use super::calls::Purpose;
use super::config::{Answer, Call, CallId, FailureKind, Level, ManagerOutput};
use super::Manager;

/// What cleaning up has at least, however long the units took.
const CLEANUP_US: u64 = 10_000_000;
/// Names of what is left that are told.
const MOST_NAMED: usize = 20;

#[derive(Debug)]
pub(super) struct Leaving {
    /// Whatever is left then is left.
    until: u64,
    failed: bool,
    reason: String,
    /// Heartbeats of a higher number began after it was decided.
    since: CallId,
    /// One of them told all units that there are.
    looked: bool,
    cleaning: bool,
    /// Of cleaning up: how often it failed for a while, with what words at last, and when it is tried again.
    failures: u32,
    trouble: String,
    again_at: u64,
}

impl<P: Payload> Manager<P> {
    pub(super) fn begin_leaving(&mut self, failed: bool, reason: String) {
        if self.leaving.is_some() || self.over {
            return;
        }
        self.log(Level::Info, format!("leaving: {reason}"));
        self.leaving = Some(Leaving {
            until: self.now.saturating_add(self.config.shutdown_us),
            failed,
            reason,
            since: self.last_call,
            looked: false,
            cleaning: false,
            failures: 0,
            trouble: String::new(),
            again_at: 0,
        });
        for number in self.groups.numbers() {
            self.doom(number);
        }
        self.look_soon();
        self.telling.at_once();
    }

    /// A heartbeat told what there is.
    pub(super) fn looked(&mut self, id: CallId) {
        if let Some(leaving) = &mut self.leaving {
            leaving.looked |= id > leaving.since;
        }
    }

    /// A heartbeat failed. Who knows of no group does not wait for one that succeeds.
    pub(super) fn looked_in_vain(&mut self, id: CallId) {
        if self.groups.is_empty() {
            self.looked(id);
        }
    }

    pub(super) fn go_on_leaving(&mut self) {
        let Some(leaving) = &self.leaving else {
            return;
        };
        if self.now >= leaving.until {
            return self.leave_the_rest();
        }
        if leaving.cleaning || !leaving.looked || !self.groups.is_empty() {
            return;
        }
        if self.now < leaving.again_at {
            return;
        }
        let until = match leaving.failures {
            0 => leaving.until.max(self.now.saturating_add(CLEANUP_US)),
            _ => leaving.until,
        };
        self.call(Call::Cleanup, Purpose::Cleanup);
        if let Some(leaving) = &mut self.leaving {
            leaving.cleaning = true;
            leaving.until = until;
        }
    }

    pub(super) fn cleaned_up(&mut self, answer: Answer) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        if !self.groups.is_empty() {
            // One more was found meanwhile.
            leaving.cleaning = false;
            return;
        }
        let (failed, reason) = (leaving.failed, leaving.reason.clone());
        match answer {
            Answer::Failed {
                kind,
                text,
                retry_after_us,
            } if leaving.may_try_again(kind) => {
                leaving.cleaning = false;
                leaving.failures += 1;
                leaving.trouble = text;
                let delay = self.pace.delay(leaving.failures).max(retry_after_us);
                leaving.again_at = self.now.saturating_add(delay);
            }
            Answer::Failed { text, .. } => {
                let mend = self.mend();
                let reason = format!("{reason}; cleaning up failed: {text}; {mend}");
                self.exit(true, reason);
            }
            Answer::Done | Answer::Units(_) => self.exit(failed, reason),
        }
    }

    /// Ends at once, and says what is left.
    pub(super) fn leave_the_rest(&mut self) {
        let Some(leaving) = &self.leaving else {
            return;
        };
        let reason = &leaving.reason;
        let left = if leaving.failures > 0 {
            format!("cleaning up failed: {}", leaving.trouble)
        } else if leaving.cleaning {
            "cleaning up did not come to its end".to_owned()
        } else if self.groups.is_empty() {
            "the infrastructure did not tell whether units are left".to_owned()
        } else {
            self.left()
        };
        let reason = format!("{reason}; {left}; {}", self.mend());
        self.exit(true, reason);
    }

    fn left(&self) -> String {
        let named = self.groups.iter().take(MOST_NAMED);
        let mut names: Vec<&str> = named.map(|(_, group)| group.name.as_str()).collect();
        if self.groups.len() > MOST_NAMED {
            names.push("…");
        }
        let why = self.groups.iter().find(|(_, group)| !group.why.is_empty());
        let why = why.map_or(String::new(), |(_, group)| format!(" ({})", group.why));
        format!(
            "{} units may be left: {}{why}",
            self.groups.len(),
            names.join(", ")
        )
    }

    fn mend(&self) -> String {
        format!("`{}` deletes what is left", self.config.cleanup)
    }

    fn exit(&mut self, failed: bool, reason: String) {
        if self.over {
            return;
        }
        self.record();
        if self.away_since.is_none() && self.watching.knows {
            self.tell();
        }
        self.out.push(ManagerOutput::Exit { failed, reason });
        self.over = true;
    }

    /// Nobody can use units that no scheduler is there for.
    pub(super) fn watch_lease(&mut self) {
        if self.lease_wakeup().is_some_and(|at| at <= self.now) {
            let seconds = self.config.lease_us / 1_000_000;
            self.begin_leaving(true, format!("no scheduler for {seconds} s"));
        }
    }

    pub(super) fn lease_wakeup(&self) -> Option<u64> {
        let counts = self.config.lease_us > 0 && self.leaving.is_none();
        let since = self.away_since.filter(|_| counts)?;
        Some(since.saturating_add(self.config.lease_us))
    }

    pub(super) fn leaving_wakeup(&self) -> Option<u64> {
        let leaving = self.leaving.as_ref()?;
        let waits = !leaving.cleaning && leaving.again_at > self.now;
        let again = waits.then_some(leaving.again_at);
        Some(again.map_or(leaving.until, |at| at.min(leaving.until)))
    }
}

impl Leaving {
    /// New credentials were looked for when the first call failed: once more is enough.
    fn may_try_again(&self, kind: FailureKind) -> bool {
        match kind {
            FailureKind::Throttled | FailureKind::Temporary => true,
            FailureKind::Credentials => self.failures == 0,
            FailureKind::Permanent | FailureKind::Unknown => false,
        }
    }
}
