//! Both ends of a link over connections that can be cut anywhere: one test a behaviour.

mod acceptor;
mod delivery;
mod handshake;
mod output;
mod pair;
mod single;
