//! A unit as the infrastructure has it.

use scaler_engine::manager::{GroupRequest, UnitSeen, UnitState};

use crate::queue::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    /// It was told to end.
    Stopping,
    Over(UnitState),
}

#[derive(Clone, Debug)]
pub struct Unit {
    /// The manager whose tag it carries; none: it is somebody else's.
    pub owner: Option<usize>,
    pub request: GroupRequest,
    pub infrastructure: String,
    /// From then on each listing has it.
    pub settled: Time,
    pub phase: Phase,
    pub detail: String,
    /// When its phase began; over, it stays listed until.
    pub since: Time,
    pub listed_until: Time,
    pub node: Option<usize>,
    /// No agent ever starts there: nobody but its manager can end it.
    pub mute: bool,
    /// Its call was given up before it came to be, or nobody named it: limits do not count it.
    pub uncounted: bool,
    /// Its manager ends all that it has, whatever runs there.
    pub excused: bool,
}

impl Unit {
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// As listings and answers show it.
    pub fn seen(&self) -> UnitSeen {
        let state = match self.phase {
            Phase::Pending => UnitState::Pending,
            Phase::Running | Phase::Stopping => UnitState::Running,
            Phase::Over(state) => state,
        };
        UnitSeen {
            group: self.request.group.clone(),
            infrastructure: self.infrastructure.clone(),
            state,
            detail: self.detail.clone(),
        }
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (group, phase, node) = (&self.request.group, self.phase, self.node);
        write!(formatter, "{} of {group} {phase:?}", self.infrastructure)?;
        match node {
            Some(node) => write!(formatter, " node {node}"),
            None => Ok(()),
        }
    }
}
