//! Messages of every kind, from values that someone draws: fixed ones for the vectors, random ones for properties.

use bytes::Bytes;
use scaler_wire::*;

/// Where a sample's values come from.
pub trait Draw {
    /// Any number up to `limit`.
    fn number(&mut self, limit: u64) -> u64;
    /// How many entries a list gets.
    fn entries(&mut self) -> usize;

    fn u64(&mut self) -> u64 {
        self.number(u64::MAX)
    }

    fn u32(&mut self) -> u32 {
        self.number(u64::from(u32::MAX)) as u32
    }

    fn u16(&mut self) -> u16 {
        self.number(u64::from(u16::MAX)) as u16
    }

    fn u8(&mut self) -> u8 {
        self.number(u64::from(u8::MAX)) as u8
    }

    /// Negative ones too.
    fn i64(&mut self) -> i64 {
        !(self.u64() as i64)
    }

    fn i32(&mut self) -> i32 {
        !(self.u32() as i32)
    }

    fn bool(&mut self) -> bool {
        self.number(1) == 1
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.number(all.len() as u64 - 1) as usize]
    }

    fn hash(&mut self) -> [u8; 16] {
        std::array::from_fn(|_| self.u8())
    }

    fn text(&mut self) -> String {
        (0..self.entries())
            .map(|_| self.pick(&['s', 'c', 'a', 'l', 'é', 'r', '→', '0']))
            .collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.entries() * 3).map(|_| self.u8()).collect()
    }

    fn payload(&mut self) -> Bytes {
        Bytes::from(self.bytes())
    }

    fn key(&mut self) -> ObjectKey {
        ObjectKey {
            session: self.u64(),
            hash: self.hash(),
        }
    }

    fn list<T>(&mut self, mut entry: impl FnMut(&mut Self) -> T) -> Vec<T>
    where
        Self: Sized,
    {
        (0..self.entries()).map(|_| entry(self)).collect()
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T>
    where
        Self: Sized,
    {
        (self.number(3) != 0).then(|| value(self))
    }
}

/// Distinct values, none of them a default, wide enough to show a number's width.
#[derive(Default)]
pub struct Fixed(u64);

impl Draw for Fixed {
    fn number(&mut self, limit: u64) -> u64 {
        self.0 += 1;
        let wide = limit / 8 + self.0 * 3;
        1 + (wide - 1) % limit
    }

    fn entries(&mut self) -> usize {
        2
    }
}

/// Any values, small and extreme ones more often (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Draw for Random {
    fn number(&mut self, limit: u64) -> u64 {
        let shift = self.next() % 64;
        match self.next() % 8 {
            0 => 0,
            1 => limit,
            _ if limit == u64::MAX => self.next() >> shift,
            _ => (self.next() >> shift) % (limit + 1),
        }
    }

    fn entries(&mut self) -> usize {
        [0, 1, 2, 3, 20][(self.next() % 5) as usize]
    }
}

const FORMS: &[Form] = &[Form::List, Form::Table, Form::Single, Form::Reference];
const STYLES: &[CallStyle] = &[CallStyle::Full, CallStyle::One, CallStyle::Star];
const OUTCOMES: &[OutcomeKind] = &[
    OutcomeKind::ValueList,
    OutcomeKind::ValueTable,
    OutcomeKind::ValueSingle,
    OutcomeKind::ValueReference,
    OutcomeKind::Exception,
    OutcomeKind::Cancelled,
    OutcomeKind::Failure,
];
const ROLES: &[Role] = &[
    Role::Client,
    Role::Node,
    Role::Manager,
    Role::Scheduler,
    Role::Objects,
];
const REFUSALS: &[RefusalCode] = &[
    RefusalCode::Protocol,
    RefusalCode::Ticket,
    RefusalCode::Malformed,
    RefusalCode::Duplicate,
    RefusalCode::Limit,
    RefusalCode::Closing,
];
const FAILURES: &[FailureCode] = &[
    FailureCode::ProcessorDied,
    FailureCode::WorkerDied,
    FailureCode::Dependency,
    FailureCode::NestingLimit,
    FailureCode::TaskTimeout,
    FailureCode::TaskMemory,
    FailureCode::MissingObjects,
    FailureCode::NodeSetup,
    FailureCode::Rejected,
    FailureCode::ObjectStorage,
];
const QUERIES: &[QueryKind] = &[QueryKind::Explain, QueryKind::State, QueryKind::Status];
const LOSSES: &[LossCause] = &[LossCause::ExecutorDied, LossCause::Collateral];
const GROUP_STATES: &[GroupState] = &[
    GroupState::Wanted,
    GroupState::Pending,
    GroupState::Running,
    GroupState::Ending,
    GroupState::Succeeded,
    GroupState::Failed,
    GroupState::Gone,
];
const STORE_ERRORS: &[StoreErrorCode] = &[
    StoreErrorCode::Full,
    StoreErrorCode::Quota,
    StoreErrorCode::Invalid,
];

fn properties(draw: &mut impl Draw) -> Vec<(String, String)> {
    draw.list(|draw| (draw.text(), draw.text()))
}

fn capabilities(draw: &mut impl Draw) -> Capabilities {
    draw.list(|draw| (draw.text(), draw.i64()))
}

fn hello(draw: &mut impl Draw) -> Hello {
    Hello {
        protocol: PROTOCOL,
        role: draw.pick(ROLES),
        incarnation: draw.u64(),
        received: draw.u64(),
        sent: draw.u64(),
        ticket: draw.bytes(),
        session: draw.u64(),
        node: draw.maybe(|draw| Box::new(node_info(draw))),
        manager: draw.maybe(|draw| Box::new(manager_info(draw))),
        properties: properties(draw),
    }
}

fn node_info<D: Draw>(draw: &mut D) -> NodeInfo {
    NodeInfo {
        name: draw.text(),
        manager: draw.text(),
        group: draw.text(),
        slots: draw.u32(),
        capabilities: capabilities(draw),
        python_minor: draw.u8(),
        queue_size: draw.u32(),
        offload: draw.bool(),
    }
}

fn manager_info<D: Draw>(draw: &mut D) -> ManagerInfo {
    ManagerInfo {
        id: draw.text(),
        driver: draw.text(),
        least_groups: draw.u32(),
        most_groups: draw.u32(),
        slots: draw.u32(),
        capabilities: capabilities(draw),
        python_minor: draw.u8(),
        startup_us: draw.u64(),
        lease_us: draw.u64(),
        cooldown_us: draw.maybe(Draw::u64),
        workers_address: draw.text(),
    }
}

fn manager_status<D: Draw>(draw: &mut D) -> ManagerStatus {
    ManagerStatus {
        groups: draw.list(|draw| GroupReport {
            group: draw.text(),
            slots: draw.u32(),
            state: draw.pick(GROUP_STATES),
            infrastructure: draw.text(),
            detail: draw.text(),
        }),
        trouble: draw.text(),
        leaving: draw.bool(),
    }
}

fn welcome(draw: &mut impl Draw) -> Welcome {
    Welcome {
        incarnation: draw.u64(),
        epoch: draw.u32(),
        received: draw.u64(),
        cluster: draw.text(),
        storage: draw.text(),
        properties: properties(draw),
    }
}

fn options(draw: &mut impl Draw) -> Options {
    Options {
        style: draw.pick(STYLES),
        capabilities: capabilities(draw),
        priority: draw.i32(),
        depth: draw.u16(),
        timeout_us: draw.u64(),
        retries: draw.u16(),
        python_minor: draw.u8(),
        name: draw.text(),
    }
}

fn object_use<D: Draw>(draw: &mut D) -> ObjectUse {
    ObjectUse {
        element: draw.u32(),
        key: draw.key(),
        size: draw.u64(),
    }
}

fn submit(draw: &mut impl Draw) -> Submit<Bytes> {
    Submit {
        function: draw.hash(),
        first: draw.u64(),
        options: options(draw),
        blocks: draw.list(|draw| Block {
            count: draw.u32(),
            form: draw.pick(FORMS),
            payload: draw.payload(),
        }),
        objects: draw.list(object_use),
        finished: draw.list(|draw| (draw.u32(), draw.u32())),
        graph: draw.maybe(|draw| Box::new(graph(draw))),
    }
}

fn graph<D: Draw>(draw: &mut D) -> Graph {
    Graph {
        needs: draw.list(|draw| Need {
            element: draw.u32(),
            on: draw.u64(),
            announced: draw.bool(),
        }),
        uses: draw.list(Draw::u32),
    }
}

fn input<D: Draw>(draw: &mut D) -> Input {
    Input {
        element: draw.u32(),
        value: draw.u64(),
        index: draw.u32(),
    }
}

fn assign(draw: &mut impl Draw) -> Assign<Bytes> {
    Assign {
        session: draw.u64(),
        function: draw.hash(),
        first: draw.u64(),
        count: draw.u32(),
        options: options(draw),
        blocks: draw.list(|draw| NodeBlock {
            first: draw.u64(),
            count: draw.u32(),
            form: draw.pick(FORMS),
            payload: draw.maybe(Draw::payload),
        }),
        objects: draw.list(object_use),
        inputs: draw.list(input),
    }
}

fn segment<D: Draw>(draw: &mut D) -> Segment<Bytes> {
    Segment {
        first: draw.u64(),
        count: draw.u32(),
        kind: draw.pick(OUTCOMES),
        payload: draw.payload(),
        failure: draw.maybe(|draw| Failure {
            code: draw.pick(FAILURES),
            attempts: draw.u32(),
            status: draw.i32(),
            nodes: draw.list(Draw::text),
            detail: draw.text(),
        }),
        except: draw.list(Draw::u32),
        busy_us: draw.u64(),
    }
}

fn range<D: Draw>(draw: &mut D) -> Range {
    Range {
        session: draw.u64(),
        first: draw.u64(),
        count: draw.u64(),
    }
}

fn chunk(draw: &mut impl Draw) -> Chunk<Bytes> {
    Chunk {
        chunk: draw.u32(),
        session: draw.u64(),
        function: draw.hash(),
        style: draw.pick(STYLES),
        first: draw.u64(),
        skip: draw.u32(),
        take: draw.u32(),
        block_count: draw.u32(),
        form: draw.pick(FORMS),
        payload: draw.maybe(Draw::payload),
        depth: draw.u16(),
        priority: draw.i32(),
        inputs: draw.list(input),
    }
}

fn chunk_result(draw: &mut impl Draw) -> ChunkResult<Bytes> {
    ChunkResult {
        chunk: draw.u32(),
        index: draw.u32(),
        count: draw.u32(),
        kind: draw.pick(OUTCOMES),
        payload: draw.payload(),
        busy_us: draw.u64(),
    }
}

/// A message of this kind.
pub fn sample(kind: u8, draw: &mut impl Draw) -> Message<Bytes> {
    use Message::*;
    match kind {
        0 => Hello(hello(draw)),
        1 => Welcome(welcome(draw)),
        2 => Refused {
            code: draw.pick(REFUSALS),
            reason: draw.text(),
        },
        3 => UnknownLink,
        4 => Heartbeat,
        10 => Function {
            id: draw.hash(),
            payload: draw.payload(),
        },
        11 => ForgetFunction { id: draw.hash() },
        12 => Submit(submit(draw)),
        13 => Cancel {
            first: draw.u64(),
            count: draw.u64(),
        },
        14 => Query {
            request: draw.u32(),
            kind: draw.pick(QUERIES),
            first: draw.u64(),
        },
        15 => Clear,
        16 => Goodbye,
        17 => Shutdown {
            request: draw.u32(),
        },
        18 => HoldObject {
            key: draw.key(),
            size: draw.u64(),
        },
        19 => ReleaseObject { key: draw.key() },
        20 => Results {
            segments: draw.list(segment),
        },
        21 => Answer {
            request: draw.u32(),
            ok: draw.bool(),
            text: draw.text(),
        },
        22 => Closing {
            reason: draw.text(),
        },
        23 => Lacking {
            sequences: draw.list(Draw::u64),
        },
        24 => Given {
            given: draw.list(|draw| GivenValue {
                on: draw.u64(),
                value: draw.u64(),
                index: draw.u32(),
            }),
        },
        30 => Assign(assign(draw)),
        31 => DropBlocks {
            session: draw.u64(),
            blocks: draw.list(Draw::u64),
        },
        32 => Reclaim { count: draw.u32() },
        33 => CancelElements { range: range(draw) },
        34 => Drain,
        35 => Exit {
            reason: draw.text(),
        },
        36 => Value {
            id: draw.u64(),
            count: draw.u32(),
            form: draw.pick(FORMS),
            payload: draw.payload(),
        },
        37 => DropValues {
            ids: draw.list(Draw::u64),
        },
        40 => Done {
            session: draw.u64(),
            segment: segment(draw),
        },
        41 => GaveBack {
            ranges: draw.list(range),
        },
        42 => Lost {
            session: draw.u64(),
            sequence: draw.u64(),
            cause: draw.pick(LOSSES),
            status: draw.i32(),
            detail: draw.text(),
        },
        43 => Holding {
            ranges: draw.list(range),
        },
        44 => NodeStatus(scaler_wire::NodeStatus {
            slots: draw.u32(),
            queued: draw.u32(),
            running: draw.u32(),
            rss_bytes: draw.u64(),
            draining: draw.bool(),
            started: draw.list(range),
        }),
        45 => Drained,
        50 => Ready {
            pid: draw.u32(),
            error: draw.text(),
        },
        51 => Chunk(chunk(draw)),
        52 => ChunkResult(chunk_result(draw)),
        53 => ChunkEnd {
            chunk: draw.u32(),
            next: draw.u32(),
            busy_us: draw.u64(),
        },
        54 => Object {
            key: draw.key(),
            size: draw.u64(),
            offset: draw.u64(),
            payload: draw.payload(),
        },
        55 => ForgetObject { key: draw.key() },
        56 => LargeValue {
            chunk: draw.u32(),
            index: draw.u32(),
            hash: draw.hash(),
            size: draw.u64(),
            offset: draw.u64(),
            payload: draw.payload(),
        },
        57 => Stop,
        60 => Put {
            request: draw.u32(),
            key: draw.key(),
            size: draw.u64(),
            offset: draw.u64(),
            payload: draw.payload(),
        },
        61 => Stored {
            request: draw.u32(),
        },
        62 => Get {
            request: draw.u32(),
            key: draw.key(),
        },
        63 => Data {
            request: draw.u32(),
            size: draw.u64(),
            offset: draw.u64(),
            payload: draw.payload(),
        },
        64 => Missing {
            request: draw.u32(),
        },
        65 => Delete {
            keys: draw.list(Draw::key),
        },
        66 => DeleteSession {
            session: draw.u64(),
        },
        67 => StoreError {
            request: draw.u32(),
            code: draw.pick(STORE_ERRORS),
            text: draw.text(),
        },
        70 => StreamOutput,
        71 => Listen {
            session: draw.u64(),
            on: draw.bool(),
        },
        72 => Output {
            session: draw.u64(),
            lines: draw.u32(),
            dropped: draw.u64(),
            payload: draw.payload(),
        },
        80 => CancelUnstarted {
            request: draw.u32(),
            first: draw.u64(),
            count: draw.u64(),
        },
        81 => Withdraw {
            request: draw.u64(),
            range: range(draw),
        },
        82 => Withdrawn {
            request: draw.u64(),
            ranges: draw.list(range),
        },
        90 => Within {
            node: draw.u64(),
            session: draw.u64(),
            sequence: draw.u64(),
        },
        91 => Waits {
            chunk: draw.u32(),
            index: draw.u32(),
        },
        92 => GoesOn {
            chunk: draw.u32(),
            index: draw.u32(),
        },
        93 => Waiting {
            depths: draw.list(Draw::u32),
        },
        100 => StartWorkerGroup {
            group: draw.text(),
            slots: draw.u32(),
            capabilities: capabilities(draw),
        },
        101 => ShutdownWorkerGroup { group: draw.text() },
        102 => Message::ManagerStatus(manager_status(draw)),
        _ => panic!("no sample of kind {kind}"),
    }
}
