//! What parts say to each other, as data. The codec (`codec.rs`) gives each kind its bytes; the engine its meaning.
//!
//! Everything is generic over `P`, a handle on payload bytes that are passed on and never decoded on the way:
//! `bytes::Bytes` in the loops, a few numbers in the simulator.

/// A handle on payload bytes. Cloning is cheap and never copies the bytes.
pub trait Payload: Clone + std::fmt::Debug {
    /// Bytes that this handle stands for.
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The object that the 32 bytes of a [`reference`] name; `None` where the handle's owner cannot tell.
    fn as_reference(&self) -> Option<(ObjectKey, u64)> {
        None
    }
    /// A handle on bytes that the engine itself made: the few that name an object.
    fn from_vec(bytes: Vec<u8>) -> Self;
}

/// A client's in-flight work, by a random number that the client draws. Never reused.
pub type SessionId = u64;
/// Numbers a session's tasks from 0, in order of submission. A task is known by (session, sequence) for ever.
pub type Sequence = u64;
/// A link, by a random number that its connecting end draws. Outlives connections.
pub type LinkId = u64;
/// A function, by the first 16 bytes of the blake3 of its pickle.
pub type FunctionId = [u8; 16];

/// An object in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub session: SessionId,
    /// Its name, which no other object has.
    pub hash: [u8; 16],
}

/// The payload of a [`Form::Reference`] block and of a [`OutcomeKind::ValueReference`].
pub fn reference(key: ObjectKey, size: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend_from_slice(&key.session.to_le_bytes());
    bytes.extend_from_slice(&key.hash);
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes
}

/// What [`reference`] wrote.
pub fn read_reference(bytes: &[u8]) -> Option<(ObjectKey, u64)> {
    let bytes: &[u8; 32] = bytes.try_into().ok()?;
    let word = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let key = ObjectKey {
        session: word(0)?,
        hash: bytes[8..24].try_into().ok()?,
    };
    Some((key, word(24)?))
}

/// What travels on a connection: messages with their place in a link.
///
/// `sequence` counts the frames of one epoch from 1. A frame with sequence 0 is outside the link's order: the
/// handshake (`Hello`, `Welcome`, `Refused`, `UnknownLink`) and bare acknowledgements.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<P> {
    pub link: LinkId,
    /// Counts how often both ends began this link from nothing.
    pub epoch: u32,
    pub sequence: u64,
    /// Highest sequence of the peer's frames that was *accepted*: it gives that much credit back.
    pub acknowledged: u64,
    pub messages: Vec<Message<P>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    Client = 0,
    Node = 1,
    Manager = 2,
    /// The scheduler as it speaks to object storage.
    Scheduler = 3,
    /// Who puts and gets objects: a client's or a node's second link.
    Objects = 4,
}

/// First words of whoever opened the connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// Major version of the protocol; another one is refused.
    pub protocol: u32,
    pub role: Role,
    /// The incarnation of the peer that this link last spoke to; 0 the first time.
    pub incarnation: u64,
    /// Highest sequence received in order, and highest sent, in this epoch.
    pub received: u64,
    pub sent: u64,
    /// Proof of membership for peers that come by tcp; empty on a local socket.
    pub ticket: Vec<u8>,
    /// Role client and objects: the session. Others: 0.
    pub session: SessionId,
    /// Role node. Others: `None`.
    pub node: Option<Box<NodeInfo>>,
    /// Role manager. Others: `None`.
    pub manager: Option<Box<ManagerInfo>>,
    /// For people and logs, never decisions: `version`, `python`, `cloudpickle`, `host`, `pid`, `name`.
    pub properties: Vec<(String, String)>,
}

impl Hello {
    /// Of this protocol, by who knows nothing and nobody yet.
    pub fn new(role: Role) -> Hello {
        Hello {
            protocol: crate::PROTOCOL,
            role,
            incarnation: 0,
            received: 0,
            sent: 0,
            ticket: Vec::new(),
            session: 0,
            node: None,
            manager: None,
            properties: Vec::new(),
        }
    }
}

/// What a node offers.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeInfo {
    pub name: String,
    /// Worker manager and group that started it; empty for one started by hand.
    pub manager: String,
    pub group: String,
    pub slots: u32,
    /// Name and amount, -1 without an amount; sorted by name.
    pub capabilities: Capabilities,
    /// Minor version of Python 3 that its executors run.
    pub python_minor: u8,
    /// Most elements it may be sent beyond those that run, a slot.
    pub queue_size: u32,
    /// It runs each task as a job of an infrastructure: it gets single tasks, none ahead of time, and only what no other
    /// node has a free slot for.
    pub offload: bool,
}

/// What a worker manager can start: groups of equal workers.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ManagerInfo {
    /// Unique among the living ones.
    pub id: String,
    /// Its driver's name, for people.
    pub driver: String,
    /// So many groups are wanted whatever the need is: all of them by a manager of a fixed size.
    pub least_groups: u32,
    pub most_groups: u32,
    /// Of each group.
    pub slots: u32,
    /// Of each slot; sorted by name.
    pub capabilities: Capabilities,
    /// Minor version of Python 3 of the executors; 0: not known.
    pub python_minor: u8,
    /// A group whose node has not come after this long has failed.
    pub startup_us: u64,
    /// Silent for so long, it is gone for good: its groups are drained and end.
    pub lease_us: u64,
    /// So long nobody asks it to shrink after a growth, and so long demand must have been low; none: as the scheduler is
    /// set.
    pub cooldown_us: Option<u64>,
    /// The scheduler's, as its workers are told it, for people.
    pub workers_address: String,
}

/// What has become of a worker group, as its manager knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GroupState {
    /// Named by the scheduler; the infrastructure has not confirmed it.
    Wanted = 0,
    /// The infrastructure has it and has not started it.
    Pending = 1,
    Running = 2,
    /// Being ended.
    Ending = 3,
    /// It ended by itself, in peace.
    Succeeded = 4,
    Failed = 5,
    /// It is not there any more, and nobody here ended it.
    Gone = 6,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    pub group: String,
    pub slots: u32,
    pub state: GroupState,
    /// The infrastructure's own name for it; empty before it is known.
    pub infrastructure: String,
    /// For people: why it waits or failed.
    pub detail: String,
}

/// A manager's account of all its groups: of those that it was told to start, until it was told to end them and they
/// are gone, and of every other that carries its tag. Said first when it knows what the infrastructure has.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ManagerStatus {
    pub groups: Vec<GroupReport>,
    /// Why it cannot start groups now, for people; empty: it can.
    pub trouble: String,
    /// It ends, and starts nothing more.
    pub leaving: bool,
}

pub type Capabilities = Vec<(String, i64)>;

#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// Drawn by the peer at its start: another value means that it forgot everything.
    pub incarnation: u64,
    /// Both ends go on in this epoch. Equal to the hello's: resumed; both send again what the other lacks.
    /// Otherwise both start from sequence 1 and the connecting end tells its whole state anew.
    pub epoch: u32,
    /// Highest sequence received in order in that epoch.
    pub received: u64,
    /// 16 hex digits of the blake3 of the scheduler's public key; empty without keys.
    pub cluster: String,
    /// `cluster`'s object storage, as peers are told it; empty when there is none.
    pub storage: String,
    pub properties: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusalCode {
    Protocol = 0,
    Ticket = 1,
    Malformed = 2,
    Duplicate = 3,
    Limit = 4,
    Closing = 5,
}

/// How a block's elements lie in its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Form {
    /// One pickle of a list with an entry an element; only where all are of plain immutable types.
    List = 0,
    /// `count` little-endian u32, the end of each element counted from the table's end; then the elements' bytes.
    Table = 1,
    /// The payload is the one element.
    Single = 2,
    /// The payload is 32 bytes that name an object holding what `Single` would hold: session u64, hash 16 bytes,
    /// size u64, integers little-endian ([`reference`]). As arguments: the object is among the submission's `objects` too.
    Reference = 3,
}

/// Neighbouring elements that travel together: at most 4,096 of them in at most 64 KiB, or a single one.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<P> {
    pub count: u32,
    pub form: Form,
    pub payload: P,
}

/// How an element's arguments are applied: told by the client, obeyed by the executor, opaque to everyone between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CallStyle {
    /// An element is `(args, kwargs)`.
    Full = 0,
    /// An element is the one positional argument (`map` with one iterable).
    One = 1,
    /// An element is a tuple of positional arguments.
    Star = 2,
}

/// What all elements of one submission share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub style: CallStyle,
    /// Sorted by name.
    pub capabilities: Capabilities,
    /// Larger first.
    pub priority: i32,
    /// Depth of nesting; 0 outside of tasks. Deeper first.
    pub depth: u16,
    /// 0 = none.
    pub timeout_us: u64,
    /// How often an application exception is tried again.
    pub retries: u16,
    /// Python 3 minor version the function needs (pickled by value); 0 = any.
    pub python_minor: u8,
    /// For people.
    pub name: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            style: CallStyle::Full,
            capabilities: Vec::new(),
            priority: 0,
            depth: 0,
            timeout_us: 0,
            retries: 0,
            python_minor: 0,
            name: String::new(),
        }
    }
}

/// An object that an element needs on the node before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectUse {
    /// Which element of the submission, counted from its first; `u32::MAX` = every one of them.
    pub element: u32,
    pub key: ObjectKey,
    pub size: u64,
}

/// An array of elements `first .. first + count`, the sum of its blocks' counts. One `submit` is an array of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Submit<P> {
    pub function: FunctionId,
    pub first: Sequence,
    pub options: Options,
    pub blocks: Vec<Block<P>>,
    pub objects: Vec<ObjectUse>,
    /// (offset from `first`, count) of elements that had their outcome before, ascending: they do not run and get none.
    /// Empty but for a submission that is told again after a scheduler forgot.
    pub finished: Vec<(u32, u32)>,
    /// `None`: no element needs another one's value, and the client wants all values.
    pub graph: Option<Box<Graph>>,
}

/// What binds a submission's elements to others of their session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// By element; an element's in the order in which its call takes them. It starts when all these values are there.
    pub needs: Vec<Need>,
    /// Empty: the client wants the value of each element. Otherwise an entry an element: 0, the client wants it; else its
    /// value goes to so many elements, of this or later submissions, and is kept until these have their outcome. The
    /// client is not told of it, unless [`WANTED`] is added.
    pub uses: Vec<u32>,
}

impl Graph {
    /// The part that concerns elements `start .. end`, counted from `start`.
    pub fn part(&self, start: u32, end: u32) -> Graph {
        let uses = self.uses.get(start as usize..end as usize);
        let needs = needs_of(&self.needs, start, end).iter();
        Graph {
            needs: needs
                .map(|need| Need {
                    element: need.element - start,
                    ..*need
                })
                .collect(),
            uses: uses.unwrap_or_default().to_vec(),
        }
    }
}

/// Of needs in the order of their elements, those of elements `start .. end`.
pub fn needs_of(needs: &[Need], start: u32, end: u32) -> &[Need] {
    let before = |element: u32| needs.partition_point(|need| need.element < element);
    &needs[before(start)..before(end)]
}

/// Added to an entry of [`Graph::uses`]: the client wants the value, too.
pub const WANTED: u32 = 1 << 31;

/// An element's call takes another one's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Counted from the submission's first.
    pub element: u32,
    pub on: Sequence,
    /// It is among the [`Graph::uses`] of that one.
    pub announced: bool,
}

/// The value of `on` is entry `index` of a value that was sent; of value 0: it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenValue {
    pub on: Sequence,
    pub value: ValueId,
    pub index: u32,
}

/// Names values on their way to the calls that take them, by a number that its sender never uses twice.
pub type ValueId = u64;

/// The call of `element` (counted from the assignment's or chunk's first) takes entry `index` of a value. Inputs are by
/// element, in the order in which the call takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    pub element: u32,
    pub value: ValueId,
    pub index: u32,
}

impl<P> Submit<P> {
    pub fn count(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.count)).sum()
    }
}

/// Elements of one session, `first .. first + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    pub session: SessionId,
    pub first: Sequence,
    pub count: u64,
}

/// A block as a node gets it. A block is known by (session, sequence of its first element).
#[derive(Clone, Debug, PartialEq)]
pub struct NodeBlock<P> {
    pub first: Sequence,
    pub count: u32,
    pub form: Form,
    /// `None`: the node has it already. It keeps a block until `DropBlocks`.
    pub payload: Option<P>,
}

/// Elements `first .. first + count` of one array for a node to run; `blocks` cover them, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Assign<P> {
    pub session: SessionId,
    pub function: FunctionId,
    pub first: Sequence,
    pub count: u32,
    pub options: Options,
    pub blocks: Vec<NodeBlock<P>>,
    /// `element` counts from `first` here too.
    pub objects: Vec<ObjectUse>,
    /// Of values that came before.
    pub inputs: Vec<Input>,
}

/// How elements ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OutcomeKind {
    /// Values, in one of the forms of [`Form`].
    ValueList = 0,
    ValueTable = 1,
    ValueSingle = 2,
    ValueReference = 3,
    /// One element's exception: the executor's packed form, opaque to everyone between.
    Exception = 4,
    /// No payload. Any number of elements.
    Cancelled = 5,
    /// The system's own verdict on any number of elements, in [`Segment::failure`]. No payload.
    Failure = 6,
}

impl OutcomeKind {
    /// How the values lie in the payload; `None` where there are none.
    pub fn form(self) -> Option<Form> {
        match self {
            OutcomeKind::ValueList => Some(Form::List),
            OutcomeKind::ValueTable => Some(Form::Table),
            OutcomeKind::ValueSingle => Some(Form::Single),
            OutcomeKind::ValueReference => Some(Form::Reference),
            OutcomeKind::Exception | OutcomeKind::Cancelled | OutcomeKind::Failure => None,
        }
    }
}

/// Outcome of elements `first .. first + count`, but for those in `except`, which had theirs before.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment<P> {
    pub first: Sequence,
    pub count: u32,
    pub kind: OutcomeKind,
    pub payload: P,
    pub failure: Option<Failure>,
    /// Offsets from `first`, ascending.
    pub except: Vec<u32>,
    /// Time that executors spent on these elements, together; 0 where it is not known.
    pub busy_us: u64,
}

/// The system's own verdict on a task, as data; the client makes the exception and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: FailureCode,
    /// Attempts that started, this one included.
    pub attempts: u32,
    /// Exit code, or minus the signal's number; 0 where there is none.
    pub status: i32,
    /// Names of the nodes concerned.
    pub nodes: Vec<String>,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FailureCode {
    /// Executors that ran it died, `max_attempts` times.
    ProcessorDied = 0,
    /// Nodes that ran it died, `max_attempts` times.
    WorkerDied = 1,
    TaskTimeout = 2,
    TaskMemory = 3,
    MissingObjects = 4,
    /// `preload` failed, or the executor cannot start.
    NodeSetup = 5,
    /// The submission itself is at fault: unknown function, bad form.
    Rejected = 6,
    ObjectStorage = 7,
    /// An element whose value it needs, itself or by others, has none; `detail`: that element's sequence. Never sent: the
    /// client knows what hangs together.
    Dependency = 8,
    /// Tasks that wait for tasks fill the node, and this one would be one more of them.
    NestingLimit = 9,
}

/// Why a node lost a started element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LossCause {
    /// Its executor ended by itself: counts as an attempt.
    ExecutorDied = 0,
    /// The agent killed its executor for a reason that was not this element's fault (drain, neighbour): no attempt.
    Collateral = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum QueryKind {
    /// Why does this task wait: text for people.
    Explain = 0,
    /// State word of one task: `queued`, `assigned`, `running`, `done`.
    State = 1,
    /// One line of JSON about scheduler, nodes, classes.
    Status = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StoreErrorCode {
    Full = 0,
    Quota = 1,
    Invalid = 2,
}

/// A node's account of itself, with each heartbeat.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeStatus {
    /// Slots whose executor is ready or will be; less than announced while one restarts.
    pub slots: u32,
    pub queued: u32,
    pub running: u32,
    pub rss_bytes: u64,
    pub draining: bool,
    /// Elements seen to run that have no outcome yet, one a range, by slot: should the node die, these had begun.
    pub started: Vec<Range>,
}

/// One message. The number in the comment is its kind on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<P> {
    // Handshake, in frames of sequence 0.
    /// 0
    Hello(Hello),
    /// 1
    Welcome(Welcome),
    /// 2: the connection closes after it; the text has the mend.
    Refused { code: RefusalCode, reason: String },
    /// 3: a frame came for a link that the receiver does not know; the sender says hello again.
    UnknownLink,

    // Both ways. Takes no credit.
    /// 4
    Heartbeat,

    // Client to scheduler.
    /// 10: also scheduler to node, and agent to executor. Comes before the first use.
    Function { id: FunctionId, payload: P },
    /// 11: nothing unfinished of the sender uses it; also scheduler to node, and agent to executor.
    ForgetFunction { id: FunctionId },
    /// 12
    Submit(Submit<P>),
    /// 13: takes no credit. Each element gets an outcome: `Cancelled`, or what it already had.
    Cancel { first: Sequence, count: u64 },
    /// 14: takes no credit.
    Query {
        request: u32,
        kind: QueryKind,
        first: Sequence,
    },
    /// 15: cancels all of the session's tasks and lets go of all its objects.
    Clear,
    /// 16: the session is over. Takes no credit, and what still waits for credit is dropped.
    Goodbye,
    /// 17: end the cluster. Takes no credit.
    Shutdown { request: u32 },
    /// 18: the client holds a handle on an object that it stored.
    HoldObject { key: ObjectKey, size: u64 },
    /// 19
    ReleaseObject { key: ObjectKey },

    // Scheduler to client.
    /// 20
    Results { segments: Vec<Segment<P>> },
    /// 21: takes no credit. Answers `Query` and `Shutdown`.
    Answer {
        request: u32,
        ok: bool,
        text: String,
    },
    /// 22: the cluster ends.
    Closing { reason: String },
    /// 23: elements wait for the values of these, which had their outcome before: answered by `Given`.
    Lacking { sequences: Vec<Sequence> },
    /// 24: client to scheduler, between the `Value`s that it names and their `DropValues`.
    Given { given: Vec<GivenValue> },

    // Scheduler to node.
    /// 30
    Assign(Assign<P>),
    /// 31: `blocks` of `session` by first sequence; nothing of them is assigned to the node any more.
    DropBlocks {
        session: SessionId,
        blocks: Vec<Sequence>,
    },
    /// 32: give back up to `count` elements that have not started, the last assigned first. Takes no credit.
    Reclaim { count: u32 },
    /// 33: takes no credit. Each element is answered, by `Done` (cancelled or finished) or `Lost`.
    CancelElements { range: Range },
    /// 34: finish what runs, give back the rest, then `Drained`.
    Drain,
    /// 35: end.
    Exit { reason: String },
    /// 36: values that assignments name; also agent to executor, and client to scheduler.
    Value {
        id: ValueId,
        count: u32,
        form: Form,
        payload: P,
    },
    /// 37: nothing that is still to come takes them; also agent to executor, and client to scheduler.
    DropValues { ids: Vec<ValueId> },

    // Node to scheduler.
    /// 40
    Done {
        session: SessionId,
        segment: Segment<P>,
    },
    /// 41: these have not started and are no longer here; empty answers a `Reclaim` that found nothing.
    GaveBack { ranges: Vec<Range> },
    /// 42: had started, has no outcome.
    Lost {
        session: SessionId,
        sequence: Sequence,
        cause: LossCause,
        status: i32,
        /// What is known besides, for people.
        detail: String,
    },
    /// 43: to a scheduler that forgot: these run here now. Outcomes that it never acknowledged follow as `Done`.
    Holding { ranges: Vec<Range> },
    /// 44: takes no credit.
    NodeStatus(NodeStatus),
    /// 45
    Drained,

    // Agent and executor; a socketpair, no link.
    /// 50: executor is up, `preload` done; or not, with the error.
    Ready { pid: u32, error: String },
    /// 51
    Chunk(Chunk<P>),
    /// 52
    ChunkResult(ChunkResult<P>),
    /// 53: the executor is done with the chunk; elements from `next` on have not been started.
    ChunkEnd { chunk: u32, next: u32, busy_us: u64 },
    /// 54: bytes of an object that coming chunks use, in order, in parts.
    Object {
        key: ObjectKey,
        size: u64,
        offset: u64,
        payload: P,
    },
    /// 55: no coming chunk uses it.
    ForgetObject { key: ObjectKey },
    /// 56: a part of one element's large value, in order; the agent stores it and reports `ValueReference`.
    /// `hash`: the object's name, drawn for this value, the same in each part.
    LargeValue {
        chunk: u32,
        index: u32,
        hash: [u8; 16],
        size: u64,
        offset: u64,
        payload: P,
    },
    /// 57: finish and end.
    Stop,

    // Object storage.
    /// 60: a part, in order of `offset`; the last one completes the object. An object that is there already is kept.
    Put {
        request: u32,
        key: ObjectKey,
        size: u64,
        offset: u64,
        payload: P,
    },
    /// 61
    Stored { request: u32 },
    /// 62
    Get { request: u32, key: ObjectKey },
    /// 63: parts in order; the last one ends at `size`.
    Data {
        request: u32,
        size: u64,
        offset: u64,
        payload: P,
    },
    /// 64
    Missing { request: u32 },
    /// 65: role scheduler only; unknown keys are fine.
    Delete { keys: Vec<ObjectKey> },
    /// 66: role scheduler only.
    DeleteSession { session: SessionId },
    /// 67: the put failed; nothing of it is kept.
    StoreError {
        request: u32,
        code: StoreErrorCode,
        text: String,
    },

    // What tasks write. Takes no credit.
    /// 70: client to scheduler: what this session's tasks write from now on is wanted.
    StreamOutput,
    /// 71: scheduler to node, and agent to executor: whether somebody wants what a session's tasks write.
    Listen { session: SessionId, on: bool },
    /// 72: executor to agent to scheduler to client: `lines` whole lines of a session's tasks, in records that only
    /// their two ends read. `dropped` others, written before them, were left out.
    Output {
        session: SessionId,
        lines: u32,
        dropped: u64,
        payload: P,
    },

    // Cancelling what has not started.
    /// 80: client to scheduler: cancels those that no executor has begun, and answers when that is decided. No credit.
    CancelUnstarted {
        request: u32,
        first: Sequence,
        count: u64,
    },
    /// 81: scheduler to node: give back what of the range has not started, and answer. Takes no credit.
    Withdraw { request: u64, range: Range },
    /// 82: node to scheduler: these have not started and are no longer here; what else it has of the range has.
    Withdrawn { request: u64, ranges: Vec<Range> },

    // Tasks within tasks.
    /// 90: client to scheduler, first in an epoch: the session is that of a task which runs at the node of that link,
    /// and ends when the node does not have the task any more.
    Within {
        node: LinkId,
        session: SessionId,
        sequence: Sequence,
    },
    /// 91: executor to agent: this element waits for others that it has submitted.
    Waits { chunk: u32, index: u32 },
    /// 92: executor to agent: it goes on.
    GoesOn { chunk: u32, index: u32 },
    /// 93: node to scheduler, when it changes: the depths of elements that wait, ascending. As many slots are free for
    /// deeper ones. Takes no credit.
    Waiting { depths: Vec<u32> },

    // Worker managers. What is said is what is wanted, and is said again until the answer shows it.
    /// 100: scheduler to manager: there is to be this group. Known ones are left as they are.
    StartWorkerGroup {
        group: String,
        slots: u32,
        capabilities: Capabilities,
    },
    /// 101: scheduler to manager: it is to end, if it has not; and may be forgotten once it has. Unknown ones are fine.
    ShutdownWorkerGroup { group: String },
    /// 102: manager to scheduler, with each heartbeat and when it changes. Takes no credit.
    ManagerStatus(ManagerStatus),
}

/// Elements for one executor: `skip .. skip + take` of one block.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk<P> {
    /// Ascending for each executor, from 1.
    pub chunk: u32,
    pub session: SessionId,
    pub function: FunctionId,
    pub style: CallStyle,
    /// Sequence of the chunk's first element.
    pub first: Sequence,
    pub skip: u32,
    pub take: u32,
    /// Elements of the whole block.
    pub block_count: u32,
    pub form: Form,
    /// `None`: the block of the chunk before this one.
    pub payload: Option<P>,
    /// Depth of nesting of these tasks, and their priority: what they submit is one deeper, and inherits it.
    pub depth: u16,
    pub priority: i32,
    /// Of values that came before.
    pub inputs: Vec<Input>,
}

/// Values or one exception of elements `index .. index + count` of a chunk (0 is the chunk's first).
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkResult<P> {
    pub chunk: u32,
    pub index: u32,
    pub count: u32,
    pub kind: OutcomeKind,
    pub payload: P,
    pub busy_us: u64,
}
