//! The hot loops: sockets, timers and processes of scheduler, agent, object storage, client and executor.
//!
//! They move bytes and call the machines of `scaler_engine`; they decide nothing. Every connection is a Unix stream
//! socket; no write ever waits. What only Linux has is in [`linux`].

pub mod accepting;
pub mod channel;
pub mod connections;
pub mod copies;
mod copying;
pub mod dialed;
pub mod executors;
pub mod gather;
pub mod input;
pub mod libzmq;
pub mod line;
pub mod linux;
pub mod listeners;
pub mod manager_part;
pub mod mapped;
pub mod memory;
pub mod node_part;
pub mod object_channel;
mod object_file;
mod object_folder;
pub mod offload_part;
pub mod output;
pub mod outward;
pub mod parts;
pub mod port;
pub mod reactor;
pub mod remote_connections;
pub mod remote_dealer;
pub mod remote_pair;
pub mod remote_router;
pub mod scheduler_part;
pub mod shared;
pub mod spare_files;
pub mod spill;
pub mod store_part;
pub mod table;
pub mod wakeful;

pub use scaler_engine as engine;
pub use scaler_wire as wire;
