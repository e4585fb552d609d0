//! What a message weighs: whether it takes credit, how many elements and bytes it carries.

use crate::{Capabilities, Graph, GroupReport, Message, Options, Payload, Segment};

impl<P> Message<P> {
    /// Whether it waits for credit. What does not leaves at once, in order with the rest of its kind.
    pub fn takes_credit(&self) -> bool {
        !matches!(
            self,
            Message::Hello(_)
                | Message::Welcome(_)
                | Message::Refused { .. }
                | Message::UnknownLink
                | Message::Heartbeat
                | Message::Cancel { .. }
                | Message::Goodbye
                | Message::Shutdown { .. }
                | Message::Query { .. }
                | Message::Answer { .. }
                | Message::Reclaim { .. }
                | Message::CancelElements { .. }
                | Message::NodeStatus(_)
                | Message::Waiting { .. }
                | Message::StreamOutput
                | Message::Listen { .. }
                | Message::Output { .. }
                | Message::CancelUnstarted { .. }
                | Message::Withdraw { .. }
                | Message::ManagerStatus(_)
        )
    }

    /// Elements, blocks or keys that it carries; at least 1, so that a frame of small messages gets full too.
    pub fn elements(&self) -> u64 {
        let elements = match self {
            Message::Submit(submit) => submit.count(),
            Message::Assign(assign) => u64::from(assign.count),
            Message::Results { segments } => segments
                .iter()
                .map(|segment| u64::from(segment.count))
                .sum(),
            Message::Done { segment, .. } => u64::from(segment.count),
            Message::DropBlocks { blocks, .. } => blocks.len() as u64,
            Message::GaveBack { ranges }
            | Message::Holding { ranges }
            | Message::Withdrawn { ranges, .. } => ranges.len() as u64,
            Message::Delete { keys } => keys.len() as u64,
            Message::DropValues { ids } => ids.len() as u64,
            Message::Lacking { sequences } => sequences.len() as u64,
            Message::Given { given } => given.len() as u64,
            _ => 1,
        };
        elements.max(1)
    }
}

/// Header bytes of a message's numbers, or of an entry of a list: no kind has more than 12 fields.
const NUMBERS: usize = 96;
/// So many of the smallest entries (at most three numbers) fit into [`NUMBERS`].
const SMALL: usize = 4;

fn graph_entries(graph: &Graph) -> usize {
    (graph.needs.len() + graph.uses.len()) / SMALL
}

impl<P> Message<P> {
    /// A bound on what it takes in a frame's header.
    pub fn header_bytes(&self) -> usize {
        NUMBERS + self.entries() * NUMBERS + self.text_bytes()
    }

    fn entries(&self) -> usize {
        match self {
            Message::Submit(submit) => {
                let graph = submit.graph.as_deref().map_or(0, graph_entries);
                submit.blocks.len() + submit.objects.len() + submit.finished.len() + graph
            }
            Message::Assign(assign) => {
                assign.blocks.len() + assign.objects.len() + assign.inputs.len() / SMALL
            }
            Message::Chunk(chunk) => chunk.inputs.len() / SMALL,
            Message::DropValues { ids } => ids.len() / SMALL,
            Message::Waiting { depths } => depths.len() / SMALL,
            Message::Lacking { sequences } => sequences.len() / SMALL,
            Message::Given { given } => given.len() / SMALL,
            Message::Results { segments } => {
                segments.len()
                    + segments
                        .iter()
                        .map(|segment| segment.except.len())
                        .sum::<usize>()
            }
            Message::Done { segment, .. } => 1 + segment.except.len(),
            Message::DropBlocks { blocks, .. } => blocks.len(),
            Message::GaveBack { ranges }
            | Message::Holding { ranges }
            | Message::Withdrawn { ranges, .. } => ranges.len(),
            Message::Delete { keys } => keys.len(),
            Message::NodeStatus(status) => status.started.len(),
            Message::StartWorkerGroup { capabilities, .. } => capabilities.len(),
            Message::ManagerStatus(status) => status.groups.len(),
            _ => 0,
        }
    }

    fn text_bytes(&self) -> usize {
        match self {
            Message::Submit(submit) => options_bytes(&submit.options),
            Message::Assign(assign) => options_bytes(&assign.options),
            Message::Results { segments } => segments.iter().map(failure_bytes).sum(),
            Message::Done { segment, .. } => failure_bytes(segment),
            Message::Refused { reason: text, .. }
            | Message::Answer { text, .. }
            | Message::Closing { reason: text }
            | Message::Exit { reason: text }
            | Message::Ready { error: text, .. }
            | Message::StoreError { text, .. } => text.len(),
            Message::StartWorkerGroup {
                group,
                capabilities,
                ..
            } => group.len() + names_bytes(capabilities),
            Message::ShutdownWorkerGroup { group } => group.len(),
            Message::ManagerStatus(status) => {
                let groups = status.groups.iter();
                let texts = |group: &GroupReport| {
                    group.group.len() + group.infrastructure.len() + group.detail.len()
                };
                status.trouble.len() + groups.map(texts).sum::<usize>()
            }
            _ => 0,
        }
    }
}

fn options_bytes(options: &Options) -> usize {
    NUMBERS + options.name.len() + names_bytes(&options.capabilities)
}

fn names_bytes(capabilities: &Capabilities) -> usize {
    capabilities
        .iter()
        .map(|(name, _)| name.len() + NUMBERS)
        .sum()
}

fn failure_bytes<P>(segment: &Segment<P>) -> usize {
    segment.failure.as_ref().map_or(0, |failure| {
        let nodes: usize = failure.nodes.iter().map(|node| node.len() + NUMBERS).sum();
        NUMBERS + failure.detail.len() + nodes
    })
}

impl<P: Payload> Message<P> {
    /// Bytes of its payloads.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Message::Function { payload, .. }
            | Message::Object { payload, .. }
            | Message::LargeValue { payload, .. }
            | Message::Put { payload, .. }
            | Message::Value { payload, .. }
            | Message::Data { payload, .. }
            | Message::Output { payload, .. } => payload.len(),
            Message::Submit(submit) => submit.blocks.iter().map(|block| block.payload.len()).sum(),
            Message::Assign(assign) => assign
                .blocks
                .iter()
                .filter_map(|block| block.payload.as_ref())
                .map(Payload::len)
                .sum(),
            Message::Results { segments } => {
                segments.iter().map(|segment| segment.payload.len()).sum()
            }
            Message::Done { segment, .. } => segment.payload.len(),
            Message::Chunk(chunk) => chunk.payload.as_ref().map_or(0, Payload::len),
            Message::ChunkResult(result) => result.payload.len(),
            _ => 0,
        }
    }
}
