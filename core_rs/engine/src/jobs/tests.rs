//! A machine of jobs between a node and a manager that are played by hand.

use std::collections::BTreeMap;

use super::*;
use crate::wire::{CallStyle, Chunk, Form, GroupReport, Input, OutcomeKind};

const SECOND: u64 = 1_000_000;
const SESSION: SessionId = 9;
const F: [u8; 16] = [1; 16];

#[derive(Clone, Debug, PartialEq)]
struct Text(Vec<u8>);

impl Payload for Text {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Text(bytes)
    }
}

fn text(text: &str) -> Text {
    Text(text.as_bytes().to_vec())
}

struct Rig {
    jobs: Jobs<Text>,
    now: u64,
    said: Vec<JobsOutput<Text>>,
    chunks: u32,
}

impl Rig {
    fn new(run: u64) -> Rig {
        let config = JobsConfig {
            run,
            adopt_us: 15 * SECOND,
            batch: 2,
            deadline_us: 60 * SECOND,
        };
        let digest = |payload: &Text| payload.0.iter().map(|byte| u64::from(*byte)).sum();
        let mut rig = Rig {
            jobs: Jobs::new(config, digest, 0),
            now: 0,
            said: Vec::new(),
            chunks: 0,
        };
        rig.jobs.connected(0, true);
        rig
    }

    /// Knows what is there: nothing.
    fn ready(run: u64) -> Rig {
        let mut rig = Rig::new(run);
        rig.status(&[]);
        rig
    }

    fn later(&mut self, us: u64) -> Vec<JobsOutput<Text>> {
        self.now += us;
        self.jobs.tick(self.now);
        self.heard()
    }

    fn heard(&mut self) -> Vec<JobsOutput<Text>> {
        let mut out = Vec::new();
        self.jobs.drain(&mut out);
        self.said.extend(out.iter().cloned());
        out
    }

    fn status(&mut self, groups: &[(&str, GroupState)]) -> Vec<JobsOutput<Text>> {
        let report = |&(group, state): &(&str, GroupState)| GroupReport {
            group: group.to_owned(),
            slots: 1,
            state,
            infrastructure: String::new(),
            detail: format!("{state:?}"),
        };
        let status = ManagerStatus {
            groups: groups.iter().map(report).collect(),
            trouble: String::new(),
            leaving: false,
        };
        self.jobs.status(self.now, status);
        self.heard()
    }

    /// The element comes to a slot that has no executor yet. Its job's name, if it has one.
    fn element(&mut self, slot: u32, sequence: Sequence) -> Option<String> {
        self.jobs.start_executor(self.now, slot);
        let id = F;
        let payload = text("function");
        self.tell(slot, Message::Function { id, payload });
        self.again(slot, sequence)
    }

    fn again(&mut self, slot: u32, sequence: Sequence) -> Option<String> {
        self.chunk(slot, sequence, Vec::new())
    }

    fn chunk(&mut self, slot: u32, sequence: Sequence, inputs: Vec<Input>) -> Option<String> {
        self.chunks += 1;
        let chunk = Chunk {
            chunk: self.chunks,
            session: SESSION,
            function: F,
            style: CallStyle::One,
            first: sequence,
            skip: 0,
            take: 1,
            block_count: 1,
            form: Form::Single,
            payload: Some(text("arguments")),
            depth: 0,
            priority: 0,
            inputs,
        };
        self.tell(slot, Message::Chunk(chunk));
        self.heard().iter().find_map(|output| match output {
            JobsOutput::Define { id, .. } => Some(id.clone()),
            _ => None,
        })
    }

    fn tell(&mut self, slot: u32, message: Message<Text>) {
        self.jobs.message(self.now, slot, message);
    }

    /// The job has ended, and this is asked of its driver.
    fn collect(&mut self, id: &str, state: GroupState) -> CollectId {
        let out = self.status(&[(id, state)]);
        let call = out.iter().find_map(|output| match output {
            JobsOutput::Collect { call, ids } => {
                assert_eq!(ids, &[id]);
                Some(*call)
            }
            _ => None,
        });
        call.expect("the outcome is asked for")
    }

    fn collected(
        &mut self,
        call: CollectId,
        outcomes: &[(&str, JobOutcome<Text>)],
    ) -> Vec<JobsOutput<Text>> {
        let of = |(id, outcome): &(&str, JobOutcome<Text>)| ((*id).to_owned(), outcome.clone());
        let outcomes: BTreeMap<_, _> = outcomes.iter().map(of).collect();
        self.jobs.collected(self.now, call, outcomes);
        self.heard()
    }
}

fn value() -> JobOutcome<Text> {
    JobOutcome::Value(text("value"))
}

/// Names that the manager is told to start, and to end.
fn commands(out: &[JobsOutput<Text>]) -> (Vec<&str>, Vec<&str>) {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for output in out {
        match output {
            JobsOutput::ToManager(Message::StartWorkerGroup { group, .. }) => {
                starts.push(group.as_str());
            }
            JobsOutput::ToManager(Message::ShutdownWorkerGroup { group }) => {
                ends.push(group.as_str());
            }
            _ => {}
        }
    }
    (starts, ends)
}

/// Kinds of results that the node hears.
fn results(out: &[JobsOutput<Text>]) -> Vec<OutcomeKind> {
    let kind = |output: &JobsOutput<Text>| match output {
        JobsOutput::ToNode {
            message: Message::ChunkResult(result),
            ..
        } => Some(result.kind),
        _ => None,
    };
    out.iter().filter_map(kind).collect()
}

fn ended(out: &[JobsOutput<Text>]) -> Vec<(u32, &str)> {
    let mut found = Vec::new();
    for output in out {
        if let JobsOutput::Ended { slot, detail, .. } = output {
            found.push((*slot, detail.as_str()));
        }
    }
    found
}

#[test]
fn an_element_becomes_a_job_and_its_outcome_a_result() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).expect("it has a job");
    assert_eq!(rig.jobs.look(0).0, 0, "it does not run yet");
    rig.status(&[(&id, GroupState::Running)]);
    assert_eq!(rig.jobs.look(0).0, 1 << 32);
    let call = rig.collect(&id, GroupState::Succeeded);
    let out = rig.collected(call, &[(&id, value())]);
    assert_eq!(results(&out), [OutcomeKind::ValueSingle]);
    assert_eq!(commands(&out), (vec![], vec![]), "the driver must keep it");
}

#[test]
fn a_driver_may_forget_a_job_when_the_scheduler_has_its_outcome() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    let call = rig.collect(&id, GroupState::Succeeded);
    rig.collected(call, &[(&id, value())]);
    assert!(rig.jobs.awaits_acknowledgement());
    rig.jobs.acknowledged(rig.now, |_, sequence| sequence == 5);
    assert_eq!(commands(&rig.heard()).1, [""; 0], "its value is under way");
    rig.jobs.acknowledged(rig.now, |_, _| false);
    assert_eq!(commands(&rig.heard()).1, [id.as_str()]);
    assert!(!rig.jobs.awaits_acknowledgement());
}

#[test]
fn an_outcome_that_comes_twice_or_late_is_told_once() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    let first = rig.collect(&id, GroupState::Succeeded);
    // Nobody knows what became of the call, and the next one asks again.
    let out = rig.later(60 * SECOND);
    let again = rig.later(SECOND);
    let second = out.iter().chain(&again).find_map(|output| match output {
        JobsOutput::Collect { call, .. } => Some(*call),
        _ => None,
    });
    let second = second.expect("it is asked again");
    let late = rig.collected(first, &[(&id, value())]);
    assert_eq!(results(&late).len(), 1);
    assert_eq!(results(&rig.collected(second, &[(&id, value())])), []);
}

#[test]
fn a_job_without_an_outcome_is_a_death_with_what_the_driver_said() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    let call = rig.collect(&id, GroupState::Failed);
    let out = rig.collected(call, &[]);
    assert_eq!(ended(&out), [(0, "Failed")]);
    assert_eq!(commands(&out).1, [id.as_str()]);
    let next = rig.element(0, 5).unwrap();
    assert_ne!(next, id, "a name is used once");
    let attempts = rig.said.iter().filter_map(|output| match output {
        JobsOutput::Define { parts, .. } => Some(parts.attempt),
        _ => None,
    });
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn outcomes_are_asked_for_in_batches_and_again_after_a_pause() {
    let mut rig = Rig::ready(1);
    let ids: Vec<String> = (0..5)
        .map(|at| rig.element(at, at.into()).unwrap())
        .collect();
    let groups: Vec<_> = ids
        .iter()
        .map(|id| (id.as_str(), GroupState::Succeeded))
        .collect();
    let collects = |out: &[JobsOutput<Text>]| -> Vec<(CollectId, usize)> {
        let of = |output: &JobsOutput<Text>| match output {
            JobsOutput::Collect { call, ids } => Some((*call, ids.len())),
            _ => None,
        };
        out.iter().filter_map(of).collect()
    };
    let out = rig.status(&groups);
    assert_eq!(collects(&out), [(1, 2), (2, 2)]);
    rig.jobs.not_collected(rig.now, 1, "throttled", 3 * SECOND);
    assert_eq!(collects(&rig.heard()), [], "not before it may");
    assert_eq!(collects(&rig.later(3 * SECOND)), [(3, 2)]);
}

#[test]
fn a_cancelled_element_is_over_at_once_and_its_job_ends() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    rig.status(&[(&id, GroupState::Running)]);
    rig.jobs.interrupt(rig.now, 0, 1 << 32);
    let out = rig.heard();
    assert_eq!(results(&out), [OutcomeKind::Cancelled]);
    assert_eq!(commands(&out).1, [id.as_str()]);
    // The slot has another one before the first has ended.
    let next = rig.again(0, 6).unwrap();
    let out = rig.status(&[(&id, GroupState::Ending), (&next, GroupState::Pending)]);
    assert_eq!(out, []);
}

#[test]
fn a_job_that_no_call_has_started_is_taken_back_and_others_count_as_started() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    assert_eq!(rig.jobs.stop(rig.now, 0, 1 << 32, |_| false).0, 1 << 32);
    let mut asked = String::new();
    let at = rig.jobs.stop(rig.now, 0, 1 << 32, |id| {
        asked = id.to_owned();
        true
    });
    assert_eq!((at.0, asked), (0, id));
    let end = Message::ChunkEnd {
        chunk: 1,
        next: 0,
        busy_us: 0,
    };
    let out = rig.heard();
    assert!(out.contains(&JobsOutput::ToNode {
        slot: 0,
        message: end
    }));
    assert_eq!(commands(&out).1, [""; 0], "nobody but the manager knew it");
}

#[test]
fn a_killed_slots_job_ends() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    rig.jobs.kill(rig.now, 0);
    let out = rig.heard();
    assert_eq!(ended(&out), [(0, "")]);
    assert_eq!(commands(&out).1, [id.as_str()]);
}

#[test]
fn elements_wait_until_it_is_known_which_jobs_are_there() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.element(0, 5), None);
    assert_eq!(commands(&rig.status(&[])).0.len(), 1);
}

#[test]
fn an_element_that_comes_again_finds_its_job_of_an_earlier_process() {
    let before = Rig::ready(1).element(0, 5).unwrap();
    let other = Rig::ready(1).element(0, 6).unwrap();
    for state in [
        GroupState::Wanted,
        GroupState::Pending,
        GroupState::Running,
        GroupState::Succeeded,
    ] {
        let mut rig = Rig::new(2);
        rig.element(0, 5);
        let out = rig.status(&[(&before, state), (&other, GroupState::Running)]);
        assert_eq!(commands(&out), (vec![before.as_str()], vec![]), "{state:?}");
        // The other one waits for its own.
        assert_eq!(rig.element(1, 6), Some(other.clone()));
    }
}

#[test]
fn another_function_or_other_arguments_are_another_job() {
    let before = Rig::ready(1).element(0, 5).unwrap();
    let mut rig = Rig::ready(2);
    rig.status(&[(&before, GroupState::Running)]);
    let value = Message::Value {
        id: 7,
        count: 1,
        form: Form::Single,
        payload: text("another's"),
    };
    rig.jobs.start_executor(0, 0);
    let payload = text("function");
    rig.tell(0, Message::Function { id: F, payload });
    rig.tell(0, value);
    let input = Input {
        element: 0,
        value: 7,
        index: 0,
    };
    let id = rig.chunk(0, 5, vec![input]).unwrap();
    assert_ne!(names::root_of(&id), names::root_of(&before));
}

#[test]
fn jobs_that_nobody_asks_for_end_after_a_while_and_failed_ones_at_once() {
    let runs = Rig::ready(1).element(0, 5).unwrap();
    let failed = Rig::ready(1).element(0, 6).unwrap();
    let mut rig = Rig::new(2);
    let groups = [
        (runs.as_str(), GroupState::Running),
        (failed.as_str(), GroupState::Failed),
        ("planted", GroupState::Running),
    ];
    assert_eq!(commands(&rig.status(&groups)).1, [failed.as_str()]);
    rig.jobs.connected(rig.now, false);
    assert_eq!(commands(&rig.later(60 * SECOND)).1, [""; 0], "nobody could");
    rig.jobs.connected(rig.now, true);
    assert_eq!(commands(&rig.later(14 * SECOND)).1, [""; 0]);
    assert_eq!(commands(&rig.later(SECOND)).1, [runs.as_str(), "planted"]);
}

#[test]
fn a_job_that_the_manager_has_lost_is_a_death() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    assert_eq!(ended(&rig.status(&[])), [], "it may not have been told yet");
    rig.status(&[(&id, GroupState::Pending)]);
    assert_eq!(ended(&rig.status(&[])).len(), 1);
}

#[test]
fn an_object_is_given_once_and_kept_while_a_slot_has_it() {
    let mut rig = Rig::ready(1);
    let key = ObjectKey {
        session: SESSION,
        hash: [3; 16],
    };
    let part = |offset| Message::Object {
        key,
        size: 4,
        offset,
        payload: text("ab"),
    };
    for slot in 0..2 {
        rig.tell(slot, part(0));
        rig.tell(slot, part(2));
    }
    let parts = vec![text("ab"), text("ab")];
    assert_eq!(rig.heard(), [JobsOutput::Object { key, parts }]);
    rig.tell(0, Message::ForgetObject { key });
    assert_eq!(rig.heard(), []);
    rig.jobs.kill(rig.now, 1);
    assert!(rig.heard().contains(&JobsOutput::ForgetObject { key }));
}

#[test]
fn large_values_travel_in_parts() {
    let mut rig = Rig::ready(1);
    let id = rig.element(0, 5).unwrap();
    let call = rig.collect(&id, GroupState::Succeeded);
    let large = JobOutcome::LargeValue {
        hash: [4; 16],
        size: 3,
        parts: vec![text("ab"), text("c")],
    };
    let out = rig.collected(call, &[(&id, large)]);
    let offsets: Vec<u64> = out
        .iter()
        .filter_map(|output| match output {
            JobsOutput::ToNode {
                message: Message::LargeValue { offset, .. },
                ..
            } => Some(*offset),
            _ => None,
        })
        .collect();
    assert_eq!(offsets, [0, 2]);
}
