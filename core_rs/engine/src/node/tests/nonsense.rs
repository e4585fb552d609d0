use super::rig::*;
use crate::wire::{ChunkResult, Message, Options, OutcomeKind};

fn result(chunk: u32, index: u32, count: u32, kind: OutcomeKind) -> Message<Bytes> {
    Message::ChunkResult(ChunkResult {
        chunk,
        index,
        count,
        kind,
        payload: Bytes(8),
        busy_us: u64::MAX,
    })
}

/// Each on an executor that runs element 0 of chunk 1, which has one element.
#[test]
fn nonsense_ends_the_executor_and_costs_its_element_an_attempt() {
    let part = |offset, size| Message::LargeValue {
        chunk: 1,
        index: 0,
        hash: [0; 16],
        size,
        offset,
        payload: Bytes(10),
    };
    let nonsense = [
        result(7, 0, 1, OutcomeKind::ValueList),
        result(1, 1, 1, OutcomeKind::ValueList),
        result(1, 0, 2, OutcomeKind::ValueList),
        result(1, 0, 0, OutcomeKind::ValueList),
        result(1, u32::MAX, u32::MAX, OutcomeKind::ValueList),
        result(1, 0, 1, OutcomeKind::Cancelled),
        result(1, 0, 1, OutcomeKind::Failure),
        result(1, 0, 1, OutcomeKind::ValueReference),
        Message::ChunkEnd {
            chunk: 2,
            next: 0,
            busy_us: 0,
        },
        Message::ChunkEnd {
            chunk: 1,
            next: 1,
            busy_us: 0,
        },
        Message::ChunkEnd {
            chunk: 1,
            next: 9,
            busy_us: 0,
        },
        Message::Ready {
            pid: 4,
            error: String::new(),
        },
        Message::Drained,
        part(5, 20),
        part(0, 5),
        part(u64::MAX, u64::MAX),
    ];
    for message in nonsense {
        let mut rig = Rig::new(1);
        rig.assign(0, 1);
        rig.begin(0);
        rig.hear(0, message.clone());
        assert_eq!(rig.kills, vec![0], "{message:?}");
        rig.hear(0, result(1, 0, 1, OutcomeKind::ValueList));
        assert!(
            rig.outcomes().is_empty(),
            "what it says is not believed any more"
        );
        rig.die(0, -9);
        assert_eq!(rig.lost().len(), 1, "{message:?}");
    }
}

#[test]
fn a_shared_line_that_names_what_never_was_ends_the_executor() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    rig.executors[0].position = u64::MAX;
    rig.cancel(0, 1);
    assert_eq!(rig.kills, vec![0]);
    rig.die(0, -9);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Cancelled));
}

#[test]
fn nonsense_before_it_is_ready_is_a_failed_start() {
    let mut rig = Rig::unstarted(crate::node::NodeConfig::default());
    rig.hear(0, Message::Drained);
    assert_eq!(rig.kills, vec![0]);
    rig.die(0, -9);
    assert_eq!(
        rig.starts,
        vec![0],
        "the first start alone: the next one waits"
    );
}

#[test]
fn a_result_twice_is_believed_once() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.hear(0, result(1, 0, 1, OutcomeKind::ValueList));
    rig.hear(0, result(1, 0, 1, OutcomeKind::ValueList));
    assert_eq!(rig.outcomes().len(), 1);
    assert_eq!(rig.kills, vec![0]);
}

#[test]
fn assignments_that_cannot_be_are_answered() {
    let whole = || Rig::assignment(0, 4, 2, Options::default());
    let mut gap = whole();
    gap.blocks.remove(1);
    let mut twisted = whole();
    twisted.blocks.swap(0, 1);
    let mut several = whole();
    several.blocks[0].form = crate::wire::Form::Single;
    let mut unknown = whole();
    unknown.function = [9; 16];
    let mut object = whole();
    object.objects = vec![uses(4, 1, 10)];
    for assign in [gap, twisted, several, unknown, object] {
        let mut rig = Rig::new(1);
        rig.assign_this(assign.clone());
        assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Failure), "{assign:?}");
        assert!(rig.owed.is_empty());
    }
    let mut rig = Rig::new(1);
    let mut far = whole();
    (far.first, far.count) = (u64::MAX, u32::MAX);
    rig.say(Message::Assign(far));
    let mut none = whole();
    none.count = 0;
    rig.say(Message::Assign(none));
}

#[test]
fn an_element_assigned_twice_is_here_once() {
    let mut rig = Rig::new(1);
    rig.assign(0, 4);
    rig.assign(2, 4);
    rig.run_dry();
    assert_eq!(
        rig.outcomes()
            .iter()
            .map(|segment| segment.count)
            .sum::<u32>(),
        6
    );
}

#[test]
fn messages_for_others_change_nothing() {
    let mut rig = Rig::new(1);
    rig.say(Message::Drained);
    rig.hear(17, Message::Drained);
    rig.node.store(rig.now, Message::Drained);
    rig.node.position(rig.now, 0, u64::MAX, 0);
    rig.node.executor_ended(rig.now, 99, 0, 0);
    rig.absorb();
    assert!(rig.kills.is_empty());
}
