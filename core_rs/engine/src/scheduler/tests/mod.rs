//! A test a transition, in the order of a task's life; then random histories.

mod accepting;
mod cancelling;
mod dying;
mod exceeding;
mod explaining;
mod fleet_histories;
mod graphs;
mod grouping;
mod histories;
mod holding;
mod managing;
mod members;
mod nesting;
mod objects;
mod offloading;
mod placing;
mod pressing;
mod rig;
mod scaling;
mod stealing;
mod streaming;
mod stuck;
mod withdrawing;
mod wounds;
