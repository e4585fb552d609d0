//! What no correct peer says. Its link ends, with the reason.

use crate::wire::{Form, Graph, Need, OutcomeKind, Payload, Range, Segment, Submit};

pub(super) fn submit<P: Payload>(submit: &Submit<P>) -> Result<(), String> {
    let mut count = 0u32;
    for block in &submit.blocks {
        let single = matches!(block.form, Form::Single | Form::Reference);
        if block.count == 0 || (single && block.count != 1) {
            return Err("a block's form and count do not go together".into());
        }
        let sum = count.checked_add(block.count);
        count = sum.ok_or("a submission of more elements than can be numbered")?;
    }
    if count == 0 {
        return Err("a submission without elements".into());
    }
    if submit.first.checked_add(count.into()).is_none() {
        return Err("elements past the last number".into());
    }
    let stray = |element: u32| element >= count && element != u32::MAX;
    if submit.objects.iter().any(|object| stray(object.element)) {
        return Err("an object of no element".into());
    }
    if let Some(graph) = &submit.graph {
        check_graph(graph, submit.first, count)?;
    }
    let mut at = 0;
    for &(offset, length) in &submit.finished {
        let end = offset.checked_add(length);
        if offset < at || length == 0 || end.is_none_or(|end| end > count) {
            return Err("finished elements that are not the submission's".into());
        }
        at = offset + length;
    }
    Ok(())
}

/// An element needs earlier ones only: there can be no cycle.
fn check_graph(graph: &Graph, first: u64, count: u32) -> Result<(), String> {
    let earlier = |need: &Need| need.element < count && need.on < first + u64::from(need.element);
    let ordered = graph
        .needs
        .windows(2)
        .all(|pair| pair[0].element <= pair[1].element);
    if !ordered || !graph.needs.iter().all(earlier) {
        return Err("an element that needs one that was not submitted before it".into());
    }
    if !graph.uses.is_empty() && graph.uses.len() != count as usize {
        return Err("uses that are not the submission's".into());
    }
    Ok(())
}

pub(super) fn segment<P: Payload>(segment: &Segment<P>) -> Result<(), String> {
    let single = matches!(
        segment.kind,
        OutcomeKind::ValueSingle | OutcomeKind::ValueReference | OutcomeKind::Exception
    );
    if segment.count == 0 || (single && segment.count != 1) {
        return Err("an outcome's kind and count do not go together".into());
    }
    if segment.first.checked_add(segment.count.into()).is_none() {
        return Err("outcomes past the last number".into());
    }
    let ascending = segment.except.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = segment.except.last().is_none_or(|&e| e < segment.count);
    if !ascending || !inside {
        return Err("an outcome that excepts what it is not about".into());
    }
    if (segment.kind == OutcomeKind::Failure) != segment.failure.is_some() {
        return Err("a failure that does not say which".into());
    }
    Ok(())
}

pub(super) fn ranges(ranges: &[Range]) -> Result<(), String> {
    let fine = |range: &Range| range.count > 0 && range.first.checked_add(range.count).is_some();
    if ranges.iter().all(fine) {
        Ok(())
    } else {
        Err("elements past the last number, or none".into())
    }
}

/// A text for people that an element keeps: no longer than anybody reads.
pub(super) fn clipped(mut text: String) -> String {
    const MOST: usize = 2_000;
    if text.len() > MOST {
        let end = (0..=MOST).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
    text
}
