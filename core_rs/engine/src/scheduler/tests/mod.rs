//! A test a transition, in the order of a task's life; then random histories.

mod accepting;
mod rig;
