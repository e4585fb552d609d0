//! What a node holds of elements that it has yet to run.

use std::sync::Arc;

use super::config::JobOptions;
use super::inputs::Inputs;
use crate::wire::{Assign, CallStyle, Form, FunctionId, ObjectKey, Sequence, SessionId};

/// What the elements of one assignment share.
#[derive(Debug)]
pub(super) struct Work<P> {
    pub session: SessionId,
    pub function: FunctionId,
    /// The function's own bytes: work that outlives the scheduler's epoch can still be told to an executor.
    pub code: P,
    pub style: CallStyle,
    pub depth: u16,
    pub priority: i32,
    /// 0 = none.
    pub timeout_us: u64,
    /// Counts assignments.
    pub arrival: u64,
    /// Its first element.
    pub first: Sequence,
    pub inputs: Inputs<P>,
    /// Where it becomes a job.
    pub job: Option<Box<JobOptions>>,
}

impl<P> Work<P> {
    pub fn new(
        assign: &Assign<P>,
        code: P,
        arrival: u64,
        default_timeout_us: u64,
        inputs: Inputs<P>,
        offload: bool,
    ) -> Self {
        let timeout_us = match assign.options.timeout_us {
            0 => default_timeout_us,
            own => own,
        };
        Work {
            session: assign.session,
            function: assign.function,
            code,
            style: assign.options.style,
            depth: assign.options.depth,
            priority: assign.options.priority,
            timeout_us,
            arrival,
            first: assign.first,
            inputs,
            job: offload.then(|| {
                Box::new(JobOptions {
                    name: assign.options.name.clone(),
                    timeout_us,
                    priority: assign.options.priority,
                    capabilities: assign.options.capabilities.clone(),
                })
            }),
        }
    }
}

/// A block of arguments that is here.
#[derive(Debug)]
pub(super) struct Held<P> {
    pub first: Sequence,
    pub count: u32,
    pub form: Form,
    pub payload: P,
}

/// Elements `first .. first + count` of one block.
#[derive(Debug)]
pub(super) struct Piece<P> {
    pub work: Arc<Work<P>>,
    pub block: Arc<Held<P>>,
    pub first: Sequence,
    pub count: u32,
    /// Objects that each of them needs, with their sizes; no key twice.
    pub objects: Arc<[(ObjectKey, u64)]>,
}

impl<P> Clone for Piece<P> {
    fn clone(&self) -> Self {
        Piece {
            work: self.work.clone(),
            block: self.block.clone(),
            first: self.first,
            count: self.count,
            objects: self.objects.clone(),
        }
    }
}

impl<P> Piece<P> {
    pub fn session(&self) -> SessionId {
        self.work.session
    }

    pub fn end(&self) -> Sequence {
        self.first + u64::from(self.count)
    }

    /// The part that lies in `start .. end`, which is within this piece.
    pub fn part(&self, start: Sequence, end: Sequence) -> Piece<P> {
        debug_assert!(self.first <= start && start < end && end <= self.end());
        Piece {
            first: start,
            count: (end - start) as u32,
            ..self.clone()
        }
    }

    /// Whether `next` goes on where this one ends and may be one piece with it.
    pub fn joins(&self, next: &Piece<P>) -> bool {
        self.end() == next.first
            && Arc::ptr_eq(&self.work, &next.work)
            && Arc::ptr_eq(&self.block, &next.block)
            && Arc::ptr_eq(&self.objects, &next.objects)
    }
}
