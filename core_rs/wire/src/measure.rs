//! What a message weighs: whether it takes credit, how many elements and bytes it carries.

use crate::{Message, Payload};

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
                | Message::Query { .. }
                | Message::Answer { .. }
                | Message::Reclaim { .. }
                | Message::CancelElements { .. }
                | Message::NodeStatus(_)
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
            Message::GaveBack { ranges } | Message::Holding { ranges } => ranges.len() as u64,
            Message::Delete { keys } => keys.len() as u64,
            _ => 1,
        };
        elements.max(1)
    }
}

impl<P: Payload> Message<P> {
    /// Bytes of its payloads.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Message::Function { payload, .. }
            | Message::Object { payload, .. }
            | Message::LargeValue { payload, .. }
            | Message::Put { payload, .. }
            | Message::Data { payload, .. } => payload.len(),
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
