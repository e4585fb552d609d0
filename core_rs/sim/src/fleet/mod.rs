//! Worker managers of a world: their processes, what they leave on disk, and the infrastructure that they call.

pub mod cloud;
pub mod ledger;
pub mod manager_host;
pub mod promises;
pub mod shape;
pub mod unit;

use crate::context::Context;
use crate::random::Random;

use cloud::{Cloud, CloudEvent};
use ledger::Ledger;
use manager_host::ManagerHost;
use shape::FleetFault;

#[derive(Clone, Copy, Debug)]
pub enum FleetEvent {
    Cloud(CloudEvent),
    Fault(FleetFault),
    /// The manager dies, and never comes back.
    Gone(usize),
}

pub struct Fleet {
    pub hosts: Vec<Option<ManagerHost>>,
    /// Of managers that are down.
    pub ledgers: Vec<Ledger>,
    /// Managers that never come back.
    pub gone: Vec<bool>,
    pub cloud: Cloud,
    pub faults: Random,
}

impl Fleet {
    pub fn new(context: &mut Context, seed: u64) -> Fleet {
        let count = context.profile.fleet.managers.len();
        Fleet {
            hosts: (0..count).map(|_| None).collect(),
            ledgers: (0..count).map(|_| Ledger::default()).collect(),
            gone: vec![false; count],
            cloud: Cloud::new(context, seed),
            faults: Random::stream(seed, "fleet faults"),
        }
    }
}
