//! Stands in for the scheduler's engine until it is there.
use std::marker::PhantomData;

use scaler_engine::node::Level;
use scaler_wire::{Hello, LinkId, Message, RefusalCode};

#[derive(Clone, Copy, Debug, Default)]
pub enum Allocate {
    #[default]
    EvenLoad,
    Capability,
}
#[derive(Clone, Debug, Default)]
pub struct SchedulerConfig {
    pub resync_us: u64,
    pub protected: bool,
    pub allocate: Allocate,
    pub memory_limit: u64,
    pub max_attempts: u32,
    pub result_budget: u64,
    pub address: String,
}
pub struct Scheduler<P>(PhantomData<P>);
#[allow(dead_code)]
pub enum SchedulerOutput<P> {
    Send {
        link: LinkId,
        message: Message<P>,
    },
    Hold {
        link: LinkId,
        hold: bool,
    },
    End {
        link: LinkId,
        code: RefusalCode,
        reason: String,
    },
    Store(Message<P>),
    Log {
        level: Level,
        text: String,
    },
    Exit {
        reason: String,
    },
}
impl<P> Scheduler<P> {
    pub fn new(_: SchedulerConfig, _: u64, _: u64) -> Self {
        Scheduler(PhantomData)
    }
    pub fn joined(
        &mut self,
        _: u64,
        _: LinkId,
        _: &Hello,
        _: &str,
    ) -> Result<(), (RefusalCode, String)> {
        Ok(())
    }
    pub fn handle(&mut self, _: u64, _: LinkId, _: Message<P>) {}
    pub fn backlog(&mut self, _: u64, _: LinkId, _: u64) {}
    pub fn resumed(&mut self, _: u64, _: LinkId) {}
    pub fn disconnected(&mut self, _: u64, _: LinkId) {}
    pub fn left(&mut self, _: u64, _: LinkId) {}
    pub fn tick(&mut self, _: u64) {}
    pub fn next_wakeup(&self) -> Option<u64> {
        None
    }
    pub fn drain(&mut self, _: &mut Vec<SchedulerOutput<P>>) {}
}
