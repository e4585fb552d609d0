//! The state machines that decide: [`link`], [`session`], [`scheduler`], [`node`], [`jobs`], [`store`], [`manager`].
//!
//! Sans-IO: no clock, socket, thread, random source or hash order of its own. Time is a `u64` of microseconds that
//! comes in, randomness a seed that comes in; every output is data. `ARCHITECTURE.md` has the contract of each machine.

pub use scaler_wire as wire;

pub mod acceptor;
pub mod capabilities;
pub mod dialer;
pub mod jobs;
pub mod link;
pub mod manager;
pub mod node;
pub mod ranges;
pub mod scaling;
pub mod scheduler;
pub mod session;
pub mod store;
