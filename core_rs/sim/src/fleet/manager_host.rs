//! A manager's process: the `Manager` machine, its ledger, its link to the scheduler, and the calls that its hooks are in.

mod allowed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use scaler_engine::dialer::DialerEvent;
use scaler_engine::manager::{
    Answer, Call, CallId, FailureKind, Manager, ManagerConfig, ManagerOutput,
};
use scaler_engine::wire::{Hello, ManagerInfo, Message, Role};

use crate::context::Context;
use crate::data::Data;
use crate::fleet::cloud::Cloud;
use crate::fleet::ledger::Ledger;
use crate::network::{Arrival, Part, Wire};
use crate::outward::{hello, Outward};
use crate::queue::{Time, SECOND};
use crate::story::About;

/// How a process is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It starts itself anew, in place.
    Anew,
    /// It has said what it had to say by then, or never will.
    Exits { failed: bool, at: Time },
}

struct Waiting {
    since: Time,
    call: Call,
}

pub struct ManagerHost {
    index: usize,
    /// Number of its process.
    pub life: u64,
    pub manager: Manager<Data>,
    scheduler: Outward,
    pub ledger: Ledger,
    connected: bool,
    /// Since when it has no scheduler.
    alone_since: Time,
    answers: VecDeque<(CallId, Answer)>,
    calls: BTreeMap<CallId, Waiting>,
    /// What the last heartbeat showed.
    shown: Option<Answer>,
    /// Groups that this process was told to end.
    told_to_end: BTreeSet<String>,
    /// It ends all that it has: it was told to leave, or has no scheduler.
    ends_all: bool,
    /// The infrastructure wants to be left alone until then.
    quiet_until: Time,
    /// When the last heartbeat began that told something.
    pub looked_at: Time,
    /// The scheduler does not want it: there is another of its name.
    refused: bool,
    pub over: Option<Over>,
}

/// How long it waits for the scheduler to take what it has to say.
const LAST_WORDS: Time = 3 * SECOND;

fn introduction(context: &Context, index: usize) -> Hello {
    let shape = &context.profile.fleet.managers[index];
    let info = ManagerInfo {
        id: shape.id.clone(),
        driver: "cloud".into(),
        least_groups: shape.least,
        most_groups: shape.most,
        slots: shape.node.slots,
        capabilities: shape.node.capabilities.clone(),
        python_minor: 11,
        startup_us: shape.startup,
        lease_us: shape.lease,
        cooldown_us: shape.cooldown,
        workers_address: String::new(),
    };
    Hello {
        manager: Some(Box::new(info)),
        ..hello(Role::Manager, 0)
    }
}

impl ManagerHost {
    pub fn new(context: &mut Context, index: usize, ledger: Ledger) -> Self {
        let part = Part::Manager(index);
        let hello = introduction(context, index);
        let shape = &context.profile.fleet.managers[index];
        let config = ManagerConfig {
            cleanup: String::new(),
            most_groups: shape.most,
            slots: shape.node.slots,
            heartbeat_us: shape.heartbeat,
            deadline_us: shape.deadline,
            batch: shape.batch,
            calls: shape.calls,
            settle_us: shape.settle,
            shutdown_us: shape.shutdown,
            lease_us: shape.lease,
            seed: context.random.number(),
            keeps_ended: shape.keeps_ended,
        };
        let now = context.now();
        #[allow(unused_mut)]
        let mut manager = Manager::new(config, ledger.entries(), now);
        #[cfg(feature = "planted")]
        manager.plant(crate::bug::Bug::of_managers(context.bug));
        ManagerHost {
            index,
            life: context.unique(),
            manager,
            scheduler: Outward::new(context, part, Part::Scheduler, hello),
            ledger,
            connected: false,
            alone_since: now,
            answers: VecDeque::new(),
            calls: BTreeMap::new(),
            shown: None,
            told_to_end: BTreeSet::new(),
            ends_all: false,
            quiet_until: 0,
            looked_at: 0,
            refused: false,
            over: None,
        }
    }

    fn part(&self) -> Part {
        Part::Manager(self.index)
    }

    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) {
        self.scheduler.arrival(context, wire, arrival);
    }

    pub fn answer(&mut self, call: CallId, answer: Answer) {
        self.answers.push_back((call, answer));
    }

    pub fn leave(&mut self, context: &mut Context) {
        context.tell(self.part(), About::All, || "is told to end".into());
        self.ends_all = true;
        self.manager.leave(context.now());
    }

    pub fn turn(&mut self, context: &mut Context, cloud: &mut Cloud, scheduler_listens: bool) {
        let now = context.now();
        while let Some(number) = self.ledger.done(now) {
            self.manager.recorded(now, number);
        }
        while let Some((call, answer)) = self.answers.pop_front() {
            self.answered(context, call, answer);
        }
        while let Some(event) = self.scheduler.event() {
            self.scheduler_event(context, event);
        }
        if self.refused {
            return;
        }
        self.tell_connected(context);
        self.manager.tick(now);
        self.carry_out(context, cloud);
        self.scheduler.pump(context, scheduler_listens);
        self.tell_connected(context);
        self.carry_out(context, cloud);
    }

    /// It has ended.
    pub fn is_done(&self, now: Time) -> bool {
        match self.over {
            None => false,
            Some(Over::Anew) => true,
            Some(Over::Exits { at, .. }) => {
                let said = !self.connected || self.scheduler.dialer.link().is_idle();
                at <= now || said && self.ledger.is_written()
            }
        }
    }

    fn tell_connected(&mut self, context: &Context) {
        let connected = self.scheduler.connected();
        if connected != self.connected {
            self.connected = connected;
            self.alone_since = context.now();
            self.manager.connected(context.now(), connected);
        }
        let lease = context.profile.fleet.managers[self.index].lease;
        if !self.connected && context.now() >= self.alone_since + lease {
            self.ends_all = true;
        }
    }

    fn scheduler_event(&mut self, context: &mut Context, event: DialerEvent<Data>) {
        let now = context.now();
        match event {
            DialerEvent::Welcomed { .. } => context.tell(self.part(), About::Part, || {
                "resumed with the scheduler".into()
            }),
            DialerEvent::Fresh { .. } => {
                context.tell(self.part(), About::All, || {
                    "tells the scheduler everything".into()
                });
                self.manager.reset(now);
            }
            DialerEvent::Message(message) => {
                context
                    .story
                    .message(now, self.part(), "takes", 0, &message);
                if let Message::ShutdownWorkerGroup { group } = &message {
                    self.told_to_end.insert(group.clone());
                }
                self.manager.handle(now, message);
            }
            DialerEvent::Refused { code, reason } => {
                context.tell(self.part(), About::All, || {
                    format!("was refused: {code:?} {reason}")
                });
                self.refused = true;
                self.over = Some(Over::Exits {
                    failed: true,
                    at: now,
                });
            }
        }
    }

    fn answered(&mut self, context: &mut Context, call: CallId, answer: Answer) {
        let now = context.now();
        let looked = self.calls.get(&call).map(|waiting| &waiting.call) == Some(&Call::Heartbeat);
        if !looked || self.shown.as_ref() != Some(&answer) {
            context.tell(self.part(), About::Part, || {
                format!("call {call} is answered: {answer:?}")
            });
        }
        if let (Some(waiting), Answer::Units(_)) = (self.calls.get(&call), &answer) {
            if looked {
                self.looked_at = waiting.since;
            }
        }
        if looked {
            self.shown = Some(answer.clone());
        }
        if let Answer::Failed {
            kind: FailureKind::Throttled,
            retry_after_us,
            ..
        } = &answer
        {
            self.quiet_until = self.quiet_until.max(now + retry_after_us);
        }
        self.calls.remove(&call);
        self.manager.answered(now, call, answer);
    }

    fn carry_out(&mut self, context: &mut Context, cloud: &mut Cloud) {
        let mut outputs = Vec::new();
        self.manager.drain(&mut outputs);
        for output in outputs {
            self.output(context, cloud, output);
        }
    }

    fn output(&mut self, context: &mut Context, cloud: &mut Cloud, output: ManagerOutput<Data>) {
        let now = context.now();
        if self.over.is_some() && !matches!(output, ManagerOutput::Log { .. }) {
            context.broken(format!(
                "{} is over, and does more: {output:?}",
                self.part()
            ));
        }
        match output {
            ManagerOutput::ToScheduler(message) => {
                context
                    .story
                    .message(now, self.part(), "sends", 0, &message);
                self.scheduler.send(message);
            }
            ManagerOutput::Record { number, entries } => {
                context.tell(self.part(), About::Part, || {
                    let all = entries.iter();
                    let all = all.map(|entry| format!("{} {:?}", entry.group, entry.state));
                    format!("records {number}: {}", all.collect::<Vec<_>>().join(", "))
                });
                self.ledger.write(now, number, entries, &mut context.random);
            }
            ManagerOutput::Call { id, call } => {
                if let Err(text) = self.check_call(context, &call) {
                    context.broken(format!("{}: {text}", self.part()));
                }
                cloud.call(
                    context,
                    (self.index, self.life),
                    id,
                    call.clone(),
                    self.ends_all,
                );
                self.calls.insert(id, Waiting { since: now, call });
            }
            ManagerOutput::Restart { reason } => {
                context.tell(self.part(), About::All, || {
                    format!("starts itself anew: {reason}")
                });
                self.check_restart(context);
                self.over = Some(Over::Anew);
            }
            ManagerOutput::Exit { failed, reason } => {
                context.tell(self.part(), About::All, || {
                    format!("exits, failed {failed}: {reason}")
                });
                let at = now + LAST_WORDS;
                self.over = Some(Over::Exits { failed, at });
            }
            ManagerOutput::Log { level, text } => {
                context.tell(self.part(), About::Part, || {
                    format!("log {level:?}: {text}")
                });
            }
        }
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        let ends_at = match self.over {
            Some(Over::Exits { at, .. }) => Some(at),
            _ => None,
        };
        [
            self.scheduler.next_wakeup(),
            self.manager.next_wakeup(),
            self.ledger.next_wakeup(),
            ends_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
