//! A scheduler among recorded peers: what it says to each, and short words for what they say.

use std::collections::BTreeMap;

use crate::scheduler::{Scheduler, SchedulerConfig, SchedulerOutput};
use crate::wire::{
    Assign, Block, CallStyle, Capabilities, Failure, Form, FunctionId, GroupReport, GroupState,
    Hello, LinkId, LossCause, ManagerInfo, ManagerStatus, Message, NodeInfo, NodeStatus, ObjectKey,
    ObjectUse, Options, OutcomeKind, Payload, QueryKind, Range, RefusalCode, Role, Segment,
    Sequence, Submit,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Payload for Bytes {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn as_reference(&self) -> Option<(ObjectKey, u64)> {
        crate::wire::read_reference(&self.0)
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}

pub const FUNCTION: FunctionId = [1; 16];
pub const CLIENT: LinkId = 1;
pub const SESSION: u64 = 77;

pub struct Rig {
    pub scheduler: Scheduler<Bytes>,
    pub now: u64,
    /// What each link was told since it was last asked for.
    told: BTreeMap<LinkId, Vec<Message<Bytes>>>,
    pub holds: Vec<(LinkId, bool)>,
    pub ended: Vec<(LinkId, RefusalCode, String)>,
    pub stored: Vec<Message<Bytes>>,
    pub logs: Vec<String>,
    pub exit: Option<String>,
}

impl Rig {
    pub fn with(config: SchedulerConfig) -> Rig {
        Rig::begin(config, 7, 1_000)
    }

    pub fn begin(config: SchedulerConfig, incarnation: u64, now: u64) -> Rig {
        Rig {
            scheduler: Scheduler::new(config, incarnation, now),
            now,
            told: BTreeMap::new(),
            holds: Vec::new(),
            ended: Vec::new(),
            stored: Vec::new(),
            logs: Vec::new(),
            exit: None,
        }
    }

    /// With a client of one function, and no nodes.
    pub fn new() -> Rig {
        let mut rig = Rig::with(SchedulerConfig::default());
        rig.client(CLIENT, SESSION);
        rig
    }

    pub fn client(&mut self, link: LinkId, session: u64) {
        self.join_client(link, session).unwrap();
        self.say(
            link,
            Message::Function {
                id: FUNCTION,
                payload: Bytes(b"code".to_vec()),
            },
        );
    }

    pub fn join_client(&mut self, link: LinkId, session: u64) -> Result<(), (RefusalCode, String)> {
        let hello = hello(Role::Client, session, None);
        let joined = self.scheduler.joined(self.now, link, &hello, "here");
        self.turn();
        joined
    }

    pub fn node(&mut self, link: LinkId, slots: u32) {
        self.node_with(link, slots, &[], 11);
    }

    pub fn node_with(
        &mut self,
        link: LinkId,
        slots: u32,
        capabilities: &[(&str, i64)],
        python_minor: u8,
    ) {
        self.join_node(link, slots, capabilities, python_minor, 0);
        self.say(link, Message::Holding { ranges: Vec::new() });
    }

    /// Without what it holds. `incarnation`: of the scheduler that it spoke to before.
    pub fn join_node(
        &mut self,
        link: LinkId,
        slots: u32,
        capabilities: &[(&str, i64)],
        python_minor: u8,
        incarnation: u64,
    ) {
        let info = NodeInfo {
            name: format!("node-{link}"),
            slots,
            capabilities: owned(capabilities),
            python_minor,
            queue_size: 1_000,
            ..NodeInfo::default()
        };
        let mut hello = hello(Role::Node, 0, Some(info));
        hello.incarnation = incarnation;
        self.scheduler
            .joined(self.now, link, &hello, "here")
            .unwrap();
        self.turn();
    }

    /// A node of a worker group, with nothing at it.
    pub fn group_node(&mut self, link: LinkId, manager: &str, group: &str, slots: u32) {
        self.join_group_node(link, manager, group, slots);
        self.say(link, Message::Holding { ranges: Vec::new() });
    }

    /// Without what it holds.
    pub fn join_group_node(&mut self, link: LinkId, manager: &str, group: &str, slots: u32) {
        self.rejoin_group_node(link, manager, group, slots, 0);
    }

    /// `incarnation`: of the scheduler that it spoke to before.
    pub fn rejoin_group_node(
        &mut self,
        link: LinkId,
        manager: &str,
        group: &str,
        slots: u32,
        incarnation: u64,
    ) {
        let info = NodeInfo {
            name: format!("node-{link}"),
            manager: manager.into(),
            group: group.into(),
            slots,
            python_minor: 11,
            queue_size: 1_000,
            ..NodeInfo::default()
        };
        let mut hello = hello(Role::Node, 0, Some(info));
        hello.incarnation = incarnation;
        self.scheduler
            .joined(self.now, link, &hello, "here")
            .unwrap();
        self.turn();
    }

    /// Without its status.
    pub fn join_manager(
        &mut self,
        link: LinkId,
        info: ManagerInfo,
    ) -> Result<(), (RefusalCode, String)> {
        let hello = Hello {
            manager: Some(info.into()),
            ..hello(Role::Manager, 0, None)
        };
        let joined = self.scheduler.joined(self.now, link, &hello, "here");
        self.turn();
        joined
    }

    /// A manager that has nothing.
    pub fn manager(&mut self, link: LinkId, info: ManagerInfo) {
        self.join_manager(link, info).unwrap();
        self.report(link, &[]);
    }

    /// A manager's account of its groups.
    pub fn report(&mut self, link: LinkId, groups: &[(&str, GroupState)]) {
        let groups = groups.iter().map(|&(group, state)| report(group, state));
        let status = ManagerStatus {
            groups: groups.collect(),
            ..ManagerStatus::default()
        };
        self.say(link, Message::ManagerStatus(status));
    }

    /// What the scaling policy wants of a manager from now on.
    pub fn want(&mut self, manager: &str, groups: u32) {
        let script = self.scheduler.fleet.script.get_or_insert_default();
        script.insert(manager.into(), groups);
        self.scheduler.fleet.changed = true;
        self.pass(200_000);
    }

    /// Groups that a manager was told to start; everything else that it was told is forgotten.
    pub fn started(&mut self, link: LinkId) -> Vec<String> {
        self.commands(link).0
    }

    /// Groups that a manager was told to start, and to end.
    pub fn commands(&mut self, link: LinkId) -> (Vec<String>, Vec<String>) {
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for message in self.told(link) {
            match message {
                Message::StartWorkerGroup { group, .. } => starts.push(group),
                Message::ShutdownWorkerGroup { group } => ends.push(group),
                _ => {}
            }
        }
        (starts, ends)
    }

    /// Whether a node was told to exit; everything else that it was told is forgotten.
    pub fn told_to_exit(&mut self, link: LinkId) -> bool {
        let told = self.told(link);
        told.iter().any(|it| matches!(it, Message::Exit { .. }))
    }

    pub fn logged(&self, text: &str) -> bool {
        self.logs.iter().any(|line| line.contains(text))
    }

    /// A message and the turn after it.
    pub fn say(&mut self, link: LinkId, message: Message<Bytes>) {
        self.mutter(link, message);
        self.turn();
    }

    /// A message; others of the same turn may follow.
    pub fn mutter(&mut self, link: LinkId, message: Message<Bytes>) {
        self.scheduler.handle(self.now, link, message);
        self.scheduler.sanity_check();
    }

    pub fn turn(&mut self) {
        let mut out = Vec::new();
        self.scheduler.drain(&mut out);
        self.scheduler.sanity_check();
        for output in out {
            match output {
                SchedulerOutput::Send { link, message } => {
                    self.told.entry(link).or_default().push(message)
                }
                SchedulerOutput::Hold { link, hold } => self.holds.push((link, hold)),
                SchedulerOutput::End { link, code, reason } => {
                    self.ended.push((link, code, reason))
                }
                SchedulerOutput::Store(message) => self.stored.push(message),
                SchedulerOutput::Log { text, .. } => self.logs.push(text),
                SchedulerOutput::Exit { reason } => self.exit = Some(reason),
            }
        }
    }

    pub fn leave(&mut self, link: LinkId) {
        self.scheduler.left(self.now, link);
        self.turn();
    }

    pub fn pass(&mut self, microseconds: u64) {
        self.now += microseconds;
        self.scheduler.tick(self.now);
        self.turn();
    }

    pub fn told(&mut self, link: LinkId) -> Vec<Message<Bytes>> {
        self.told.remove(&link).unwrap_or_default()
    }

    /// (first, count) of the assignments that a node got; everything else that it was told is forgotten.
    pub fn assigned(&mut self, link: LinkId) -> Vec<(Sequence, u32)> {
        let assigns = self.assigns(link);
        assigns
            .iter()
            .map(|assign| (assign.first, assign.count))
            .collect()
    }

    pub fn assigned_count(&mut self, link: LinkId) -> u64 {
        self.assigned(link)
            .iter()
            .map(|(_, count)| u64::from(*count))
            .sum()
    }

    pub fn assigns(&mut self, link: LinkId) -> Vec<Assign<Bytes>> {
        let told = self.told(link).into_iter();
        told.filter_map(|message| match message {
            Message::Assign(assign) => Some(assign),
            _ => None,
        })
        .collect()
    }

    pub fn results(&mut self, link: LinkId) -> Vec<Segment<Bytes>> {
        let told = self.told(link).into_iter();
        told.flat_map(|message| match message {
            Message::Results { segments } => segments,
            _ => Vec::new(),
        })
        .collect()
    }

    /// (first, count, kind) of the outcomes that a client got.
    pub fn outcomes(&mut self, link: LinkId) -> Vec<(Sequence, u32, OutcomeKind)> {
        let results = self.results(link);
        results
            .iter()
            .map(|segment| (segment.first, segment.count, segment.kind))
            .collect()
    }

    pub fn failures(&mut self, link: LinkId) -> Vec<(Sequence, Failure)> {
        let results = self.results(link).into_iter();
        results
            .filter_map(|segment| Some((segment.first, segment.failure?)))
            .collect()
    }

    // What the client says.

    pub fn submit(&mut self, first: Sequence, count: u32) {
        self.say(CLIENT, array(first, count, Options::default()));
    }

    pub fn submit_with(&mut self, first: Sequence, count: u32, options: Options) {
        self.say(CLIENT, array(first, count, options));
    }

    pub fn cancel(&mut self, first: Sequence, count: u64) {
        self.say(CLIENT, Message::Cancel { first, count });
    }

    pub fn query(&mut self, kind: QueryKind, first: Sequence) -> String {
        self.told(CLIENT);
        self.say(
            CLIENT,
            Message::Query {
                request: 1,
                kind,
                first,
            },
        );
        match self.told(CLIENT).pop() {
            Some(Message::Answer { text, .. }) => text,
            other => panic!("{other:?} is no answer"),
        }
    }

    pub fn explain(&mut self, first: Sequence) -> String {
        self.query(QueryKind::Explain, first)
    }

    // What nodes say.

    pub fn done(&mut self, link: LinkId, first: Sequence, count: u32, busy_us: u64) {
        self.say(link, done(first, count, busy_us));
    }

    pub fn end(&mut self, link: LinkId, first: Sequence, kind: OutcomeKind) {
        let segment = Segment {
            kind,
            ..values(first, 1)
        };
        self.say(
            link,
            Message::Done {
                session: SESSION,
                segment,
            },
        );
    }

    pub fn lost(&mut self, link: LinkId, sequence: Sequence, status: i32) {
        let cause = LossCause::ExecutorDied;
        self.say(
            link,
            Message::Lost {
                session: SESSION,
                sequence,
                cause,
                status,
                detail: String::new(),
            },
        );
    }

    pub fn give_back(&mut self, link: LinkId, ranges: &[(Sequence, u64)]) {
        let ranges = ranges
            .iter()
            .map(|&(first, count)| range(first, count))
            .collect();
        self.say(link, Message::GaveBack { ranges });
    }

    pub fn hold(&mut self, link: LinkId, ranges: &[(Sequence, u64)]) {
        let ranges = ranges
            .iter()
            .map(|&(first, count)| range(first, count))
            .collect();
        self.say(link, Message::Holding { ranges });
    }

    pub fn report_running(&mut self, link: LinkId, sequences: &[Sequence]) {
        let started = sequences
            .iter()
            .map(|&sequence| range(sequence, 1))
            .collect();
        self.say(
            link,
            Message::NodeStatus(NodeStatus {
                started,
                ..NodeStatus::default()
            }),
        );
    }
}

pub fn hello(role: Role, session: u64, node: Option<NodeInfo>) -> Hello {
    Hello {
        session,
        node: node.map(Box::new),
        ..Hello::new(role)
    }
}

/// A manager `native` of up to 8 groups of a worker each, that takes 30 s to start one and may be away for 300 s.
pub fn native() -> ManagerInfo {
    ManagerInfo {
        id: "native".into(),
        driver: "baremetal_native".into(),
        least_groups: 0,
        most_groups: 8,
        slots: 1,
        capabilities: Capabilities::new(),
        python_minor: 11,
        startup_us: 30_000_000,
        lease_us: 300_000_000,
        cooldown_us: None,
        workers_address: "tcp://here:8516".into(),
    }
}

pub fn report(group: &str, state: GroupState) -> GroupReport {
    GroupReport {
        group: group.into(),
        slots: 1,
        state,
        infrastructure: format!("i-{group}"),
        detail: String::new(),
    }
}

pub fn owned(capabilities: &[(&str, i64)]) -> Capabilities {
    capabilities
        .iter()
        .map(|(name, amount)| (name.to_string(), *amount))
        .collect()
}

pub fn needs(capabilities: &[(&str, i64)]) -> Options {
    Options {
        capabilities: owned(capabilities),
        ..Options::default()
    }
}

pub fn range(first: Sequence, count: u64) -> Range {
    Range {
        session: SESSION,
        first,
        count,
    }
}

/// Elements in blocks of 100.
pub fn array(first: Sequence, count: u32, options: Options) -> Message<Bytes> {
    Message::Submit(submission(first, count, options))
}

pub fn submission(first: Sequence, count: u32, options: Options) -> Submit<Bytes> {
    let starts = (0..count).step_by(100);
    let blocks = starts.map(|at| Block {
        count: 100.min(count - at),
        form: Form::Table,
        payload: Bytes(vec![at as u8; 10]),
    });
    Submit {
        function: FUNCTION,
        first,
        options: Options {
            style: CallStyle::One,
            ..options
        },
        blocks: blocks.collect(),
        objects: Vec::new(),
        finished: Vec::new(),
        graph: None,
    }
}

pub fn key(number: u8) -> ObjectKey {
    ObjectKey {
        session: SESSION,
        hash: [number; 16],
    }
}

pub fn with_object(first: Sequence, count: u32, element: u32, number: u8) -> Message<Bytes> {
    let mut submit = submission(first, count, Options::default());
    submit.objects.push(ObjectUse {
        element,
        key: key(number),
        size: 9,
    });
    Message::Submit(submit)
}

pub fn values(first: Sequence, count: u32) -> Segment<Bytes> {
    Segment {
        first,
        count,
        kind: OutcomeKind::ValueTable,
        payload: Bytes(b"value".to_vec()),
        failure: None,
        except: Vec::new(),
        busy_us: 0,
    }
}

pub fn done(first: Sequence, count: u32, busy_us: u64) -> Message<Bytes> {
    let segment = Segment {
        busy_us,
        ..values(first, count)
    };
    Message::Done {
        session: SESSION,
        segment,
    }
}
