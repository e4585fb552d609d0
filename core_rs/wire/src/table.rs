//! The protocol as a table: which number each kind of message has, and how each of its fields is written, in order.
//!
//! A field's way is a method of both [`Writer`] and [`Reader`]. `docs/protocol.md` is this table for people.

use crate::reader::Reader;
use crate::writer::{Code, Record, Writer};
use crate::*;

/// Names of fields, and how each is written, in order.
pub type Fields = &'static [(&'static str, &'static str)];

macro_rules! records {
    ($($name:ident $(<$payload:ident>)? { $($field:ident: $how:ident),* $(,)? })*) => {
        /// What is written as an array of its own within a message, or as a message's fields.
        pub const RECORDS: &[(&str, Fields)] =
            &[$((stringify!($name), &[$((stringify!($field), stringify!($how))),*])),*];

        $(
        impl<P: Payload> Record<P> for $name $(<$payload>)? {
            const FIELDS: u32 = [$(stringify!($field)),*].len() as u32;

            fn write(&self, out: &mut Writer<'_, P>) {
                $(out.$how(&self.$field);)*
            }

            fn read(input: &mut Reader<'_, P>) -> Result<Self, DecodeError> {
                $(
                    input.place = concat!(stringify!($name), ".", stringify!($field));
                    let $field = input.$how()?;
                )*
                Ok($name { $($field),* })
            }
        }
        )*
    };
}

macro_rules! codes {
    ($($name:ident: $text:literal { $($variant:ident),* $(,)? })*) => {
        /// Enumerations; the first name is number 0.
        pub const CODES: &[(&str, &[&str])] = &[$((stringify!($name), &[$(stringify!($variant)),*])),*];

        $(
        impl Code for $name {
            const NAME: &'static str = $text;

            fn code(self) -> u8 {
                self as u8
            }

            fn from_code(code: u64) -> Option<Self> {
                [$($name::$variant),*].into_iter().find(|value| value.code() as u64 == code)
            }
        }
        )*
    };
}

macro_rules! messages {
    ($($kind:literal $name:ident $(($record:ident))? $({ $($field:ident: $how:ident),* })?;)*) => {
        /// Number, name and fields of every kind of message. One whose fields are a record's has none here; the
        /// record has its name.
        pub const MESSAGES: &[(u8, &str, Fields)] =
            &[$(($kind, stringify!($name), &[$($((stringify!($field), stringify!($how))),*)?])),*];

        impl<P> Message<P> {
            /// Its name, as in `docs/protocol.md`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Message::$name { .. } => stringify!($name),)*
                }
            }
        }

        pub(crate) fn write<P: Payload>(message: &Message<P>, out: &mut Writer<'_, P>) {
            match message {
                $(Message::$name $(($record))? $({ $($field),* })? => {
                    let fields = 0 $(+ out.fields_of($record))? $(+ [$(stringify!($field)),*].len())?;
                    out.array(1 + fields);
                    out.unsigned($kind);
                    $($record.write(out);)?
                    $($(out.$how($field);)*)?
                })*
            }
        }

        /// `fields` without the kind.
        fn read_fields<P: Payload>(
            kind: u64,
            fields: usize,
            input: &mut Reader<'_, P>,
        ) -> Result<Message<P>, DecodeError> {
            match kind {
                $($kind => {
                    input.place = stringify!($name);
                    messages!(@read $name $(($record))? $({ $($field: $how),* })?, fields, input)
                })*
                _ => input.fail(Problem::Code { what: "kind of message", code: kind }),
            }
        }
    };
    (@read $name:ident, $fields:ident, $input:ident) => {{
        $input.expect($fields, 0)?;
        Ok(Message::$name)
    }};
    (@read $name:ident ($record:ident), $fields:ident, $input:ident) => {
        flat_record($fields, $input).map(Message::$name)
    };
    (@read $name:ident { $($field:ident: $how:ident),* }, $fields:ident, $input:ident) => {{
        $input.expect($fields, [$(stringify!($field)),*].len())?;
        $(
            $input.place = concat!(stringify!($name), ".", stringify!($field));
            let $field = $input.$how()?;
        )*
        Ok(Message::$name { $($field),* })
    }};
}

fn flat_record<P, R: Record<P>>(
    fields: usize,
    input: &mut Reader<'_, P>,
) -> Result<R, DecodeError> {
    input.expect(fields, R::FIELDS as usize)?;
    R::read(input)
}

pub(crate) fn read<P: Payload>(input: &mut Reader<'_, P>) -> Result<Message<P>, DecodeError> {
    input.place = "message";
    let entries = input.array()?;
    if entries == 0 {
        return input.fail(Problem::Entries {
            entries: 0,
            expected: 1,
        });
    }
    let kind = input.u64()?;
    if kind == HELLO && entries > 1 {
        return read_hello(entries - 1, input);
    }
    read_fields(kind, entries - 1, input)
}

const HELLO: u64 = 0;

/// A hello of another protocol may have any fields after its number, which never moves: so that its sender can be
/// told what is wrong. They are left out.
fn read_hello<P: Payload>(
    fields: usize,
    input: &mut Reader<'_, P>,
) -> Result<Message<P>, DecodeError> {
    let before = input.position();
    input.place = "Hello.protocol";
    let protocol = input.u32()?;
    if protocol == PROTOCOL {
        input.rewind(before);
        return read_fields(HELLO, fields, input);
    }
    input.skip_rest();
    Ok(Message::Hello(Hello {
        protocol,
        ..Hello::new(Role::Client)
    }))
}

messages! {
    0 Hello(hello);
    1 Welcome(welcome);
    2 Refused { code: code, reason: text };
    3 UnknownLink;
    4 Heartbeat;

    10 Function { id: hash, payload: payload };
    11 ForgetFunction { id: hash };
    12 Submit(submit);
    13 Cancel { first: u64, count: u64 };
    14 Query { request: u32, kind: code, first: u64 };
    15 Clear;
    16 Goodbye;
    17 Shutdown { request: u32 };
    18 HoldObject { key: key, size: u64 };
    19 ReleaseObject { key: key };

    20 Results { segments: blocks };
    21 Answer { request: u32, ok: bool, text: text };
    22 Closing { reason: text };
    23 Lacking { sequences: u64s };
    24 Given { given: records };

    30 Assign(assign);
    31 DropBlocks { session: u64, blocks: u64s };
    32 Reclaim { count: u32 };
    33 CancelElements { range: record };
    34 Drain;
    35 Exit { reason: text };
    36 Value { id: u64, count: u32, form: code, payload: payload };
    37 DropValues { ids: u64s };

    40 Done { session: u64, segment: record };
    41 GaveBack { ranges: records };
    42 Lost { session: u64, sequence: u64, cause: code, status: i32, detail: text };
    43 Holding { ranges: records };
    44 NodeStatus(status);
    45 Drained;

    50 Ready { pid: u32, error: text };
    51 Chunk(chunk);
    52 ChunkResult(result);
    53 ChunkEnd { chunk: u32, next: u32, busy_us: u64 };
    54 Object { key: key, size: u64, offset: u64, payload: payload };
    55 ForgetObject { key: key };
    56 LargeValue { chunk: u32, index: u32, hash: hash, size: u64, offset: u64, payload: payload };
    57 Stop;

    60 Put { request: u32, key: key, size: u64, offset: u64, payload: payload };
    61 Stored { request: u32 };
    62 Get { request: u32, key: key };
    63 Data { request: u32, size: u64, offset: u64, payload: payload };
    64 Missing { request: u32 };
    65 Delete { keys: keys };
    66 DeleteSession { session: u64 };
    67 StoreError { request: u32, code: code, text: text };

    70 StreamOutput;
    71 Listen { session: u64, on: bool };
    72 Output { session: u64, lines: u32, dropped: u64, payload: payload };

    80 CancelUnstarted { request: u32, first: u64, count: u64 };
    81 Withdraw { request: u64, range: record };
    82 Withdrawn { request: u64, ranges: records };

    90 Within { node: u64, session: u64, sequence: u64 };
    91 Waits { chunk: u32, index: u32 };
    92 GoesOn { chunk: u32, index: u32 };
    93 Waiting { depths: u32s };

    100 StartWorkerGroup { group: text, slots: u32, capabilities: capabilities };
    101 ShutdownWorkerGroup { group: text };
    102 ManagerStatus(manager_status);
}

records! {
    Hello {
        protocol: u32, role: code, incarnation: u64, received: u64, sent: u64, ticket: bytes, session: u64,
        node: maybe_record, manager: maybe_record, properties: properties,
    }
    NodeInfo {
        name: text, manager: text, group: text, slots: u32, capabilities: capabilities, python_minor: u8,
        queue_size: u32, offload: bool,
    }
    ManagerInfo {
        id: text, driver: text, least_groups: u32, most_groups: u32, slots: u32, capabilities: capabilities,
        python_minor: u8, startup_us: u64, lease_us: u64, cooldown_us: maybe_u64,
        workers_address: text,
    }
    GroupReport { group: text, slots: u32, state: code, infrastructure: text, detail: text }
    ManagerStatus { groups: records, trouble: text, leaving: bool }
    Welcome {
        incarnation: u64, epoch: u32, received: u64, cluster: text, storage: text, properties: properties,
    }
    Submit<P> {
        function: hash, first: u64, options: record, blocks: blocks, objects: records, finished: spans,
        graph: maybe_record,
    }
    Graph { needs: records, uses: u32s }
    Need { element: u32, on: u64, announced: bool }
    GivenValue { on: u64, value: u64, index: u32 }
    Input { element: u32, value: u64, index: u32 }
    Options {
        style: code, capabilities: capabilities, priority: i32, depth: u16, timeout_us: u64, retries: u16,
        python_minor: u8, name: text,
    }
    Block<P> { count: u32, form: code, payload: payload }
    ObjectUse { element: u32, key: key, size: u64 }
    Range { session: u64, first: u64, count: u64 }
    Assign<P> {
        session: u64, function: hash, first: u64, count: u32, options: record, blocks: blocks, objects: records,
        inputs: records,
    }
    NodeBlock<P> { first: u64, count: u32, form: code, payload: maybe_payload }
    Segment<P> {
        first: u64, count: u32, kind: code, payload: payload, failure: maybe_record, except: u32s, busy_us: u64,
    }
    Failure { code: code, attempts: u32, status: i32, nodes: texts, detail: text }
    NodeStatus { slots: u32, queued: u32, running: u32, rss_bytes: u64, draining: bool, started: records }
    Chunk<P> {
        chunk: u32, session: u64, function: hash, style: code, first: u64, skip: u32, take: u32, block_count: u32,
        form: code, payload: maybe_payload, depth: u16, priority: i32, inputs: records,
    }
    ChunkResult<P> { chunk: u32, index: u32, count: u32, kind: code, payload: payload, busy_us: u64 }
}

codes! {
    Role: "role" { Client, Node, Manager, Scheduler, Objects }
    RefusalCode: "refusal" { Protocol, Ticket, Malformed, Duplicate, Limit, Closing }
    Form: "form of a block" { List, Table, Single, Reference }
    CallStyle: "call style" { Full, One, Star }
    OutcomeKind: "outcome" {
        ValueList, ValueTable, ValueSingle, ValueReference, Exception, Cancelled, Failure,
    }
    FailureCode: "failure" {
        ProcessorDied, WorkerDied, TaskTimeout, TaskMemory, MissingObjects, NodeSetup, Rejected, ObjectStorage,
        Dependency, NestingLimit,
    }
    LossCause: "cause of a loss" { ExecutorDied, Collateral }
    QueryKind: "query" { Explain, State, Status }
    GroupState: "state of a worker group" { Wanted, Pending, Running, Ending, Succeeded, Failed, Gone }
    StoreErrorCode: "error of the object storage" { Full, Quota, Invalid }
}
