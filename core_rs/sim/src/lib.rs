//! The engine that ships, in a world whose clock, chance, network and processes are simulated.
//!
//! One `u64` is one history: it draws the world's shape, the clients' work and the faults. [`oracle`] knows what truly
//! happened and checks the promises of the engine against it; [`runner`] runs seeds.

pub mod agent;
pub mod bug;
pub mod client;
pub mod context;
pub mod data;
pub mod drill;
pub mod executor;
pub mod fleet;
pub mod inward;
pub mod network;
pub mod node_host;
pub mod node_set;
pub mod oracle;
pub mod outward;
pub mod profile;
pub mod queue;
pub mod random;
pub mod runner;
pub mod scale;
pub mod scheduler_host;
pub mod store_host;
pub mod story;
pub mod workload;
pub mod world;
