//! The hot loops: sockets, timers and processes of scheduler, agent, object storage, client and executor.
//!
//! They move bytes and call the machines of `scaler_engine`; they decide nothing. Every connection is a Unix stream
//! socket; no write ever waits. What only Linux has is in [`linux`].

pub mod channel;
pub mod connections;
pub mod dialed;
pub mod input;

pub mod line;
pub mod linux;
pub mod output;
pub mod object_channel;
pub mod port;
pub mod shared;
pub mod table;

pub use scaler_engine as engine;
pub use scaler_wire as wire;
