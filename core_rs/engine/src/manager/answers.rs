//! What comes of starting and ending.

use std::collections::BTreeMap;

use crate::wire::Payload;

use super::calls::Purpose;
use super::config::{Answer, CallId, FailureKind, Level, UnitSeen};
use super::group::{clipped, Group, Phase, Wish};
use super::groups::Number;
use super::Manager;

const MOST_TEXT: usize = 2_000;

impl<P: Payload> Manager<P> {
    pub(super) fn take_answer(&mut self, id: CallId, answer: Answer) {
        if self.over {
            return;
        }
        let Some(call) = self.calls.remove(&id) else {
            let text = format!("an answer to call {id}, which nobody waits for");
            return self.log(Level::Error, text);
        };
        let answer = clipped_answer(answer);
        match call.purpose {
            Purpose::Heartbeat => self.heartbeat_answered(id, call.began, answer),
            Purpose::Cleanup => self.cleaned_up(answer),
            Purpose::Start(numbers) => {
                self.start_answered(id, numbers, answer);
                self.look_soon();
            }
            Purpose::Shutdown(numbers) => {
                self.shutdown_answered(id, numbers, answer);
                self.look_soon();
            }
        }
    }

    fn start_answered(&mut self, id: CallId, numbers: Vec<Number>, answer: Answer) {
        match answer {
            Answer::Units(units) => {
                self.pace.ease();
                self.troubles.over();
                self.units_started(id, numbers, units);
            }
            Answer::Done => {
                let text = "the driver's start told of no unit".to_owned();
                self.start_failed(id, numbers, FailureKind::Unknown, text, 0);
            }
            Answer::Failed {
                kind,
                text,
                retry_after_us,
            } => self.start_failed(id, numbers, kind, text, retry_after_us),
        }
    }

    fn units_started(&mut self, id: CallId, numbers: Vec<Number>, units: Vec<UnitSeen>) {
        let mut units: BTreeMap<String, UnitSeen> = units
            .into_iter()
            .map(|unit| (unit.group.clone(), unit))
            .collect();
        for number in numbers {
            let Some(group) = self.groups.get(number) else {
                continue;
            };
            match units.remove(&group.name) {
                Some(unit) => self.after_start(id, number, |group| {
                    group.see(unit);
                    group.failures = 0;
                    group.why.clear();
                    group.phase = Phase::There;
                }),
                None => self.after_start(id, number, |group| {
                    group.fail("the driver's start told nothing of it");
                    group.phase = Phase::Unsure;
                }),
            }
        }
        if let Some(name) = units.keys().next() {
            let text = format!("the driver's start told of {name}, which it was not to start");
            self.log(Level::Warning, text);
        }
    }

    fn start_failed(
        &mut self,
        id: CallId,
        numbers: Vec<Number>,
        kind: FailureKind,
        text: String,
        retry_after_us: u64,
    ) {
        if kind == FailureKind::Throttled {
            self.pace.slow_down(self.now, retry_after_us);
        }
        if self.troubles.failed(&text) {
            let count = numbers.len();
            let text = format!("start of {count} groups failed ({kind:?}): {text}");
            self.log(Level::Warning, text);
        }
        let delay = self.pace.delay(self.failures_of(&numbers));
        let at = self.now.saturating_add(delay);
        for number in numbers {
            self.after_start(id, number, |group| {
                group.fail(&text);
                group.phase = match kind {
                    FailureKind::Throttled | FailureKind::Credentials | FailureKind::Temporary => {
                        Phase::Waiting { at }
                    }
                    FailureKind::Permanent => Phase::Refused,
                    FailureKind::Unknown => Phase::Unsure,
                };
            });
            #[cfg(feature = "planted")]
            if kind == FailureKind::Unknown {
                self.mistake_unknown(number);
            }
        }
    }

    /// A start of it has come back: `outcome` says with what.
    fn after_start(&mut self, id: CallId, number: Number, outcome: impl FnOnce(&mut Group)) {
        let (now, since) = (self.now, self.last_call);
        let settles_at = now.saturating_add(self.config.settle_us);
        self.groups.change(number, |group| {
            if group.phase != (Phase::Starting { call: id }) {
                return;
            }
            outcome(group);
            group.since = since;
            group.settles_at = settles_at;
            group.shown_at = now;
            if group.wish == Wish::Over {
                group.failures = 0;
                group.phase = Phase::Doomed { at: now };
            }
        });
    }

    fn shutdown_answered(&mut self, id: CallId, numbers: Vec<Number>, answer: Answer) {
        let now = self.now;
        let (failure, at) = match answer {
            Answer::Done => {
                self.pace.ease();
                self.end_troubles.over();
                (None, 0)
            }
            Answer::Units(_) => {
                let text = "the driver's shutdown told of units".to_owned();
                (Some(text), now.saturating_add(self.pace.delay(1)))
            }
            Answer::Failed {
                kind,
                text,
                retry_after_us,
            } => {
                if kind == FailureKind::Throttled {
                    self.pace.slow_down(now, retry_after_us);
                }
                let delay = self.pace.delay(self.failures_of(&numbers));
                (Some(text), now.saturating_add(delay))
            }
        };
        if let Some(text) = failure.as_ref().filter(|it| self.end_troubles.failed(it)) {
            let count = numbers.len();
            self.log(
                Level::Warning,
                format!("shutdown of {count} groups failed: {text}"),
            );
        }
        let (since, keeps_ended) = (self.last_call, self.config.keeps_ended);
        for number in numbers {
            self.groups.change(number, |group| {
                if group.phase != (Phase::Ending { call: id }) {
                    return;
                }
                group.told |= failure.is_none() || !keeps_ended;
                group.since = since;
                match &failure {
                    None => {
                        group.why.clear();
                        group.phase = Phase::Told;
                    }
                    Some(text) => {
                        group.fail(text);
                        group.phase = Phase::Doomed { at };
                    }
                }
            });
        }
    }

    /// Calls for these in a row that failed, this one included.
    fn failures_of(&self, numbers: &[Number]) -> u32 {
        let of = |number: &Number| self.groups.get(*number).map(|group| group.failures);
        let most = numbers.iter().filter_map(of).max().unwrap_or(0);
        most.saturating_add(1)
    }
}

fn clipped_answer(answer: Answer) -> Answer {
    match answer {
        Answer::Failed {
            kind,
            text,
            retry_after_us,
        } => Answer::Failed {
            kind,
            text: clipped(text, MOST_TEXT),
            retry_after_us,
        },
        other => other,
    }
}
