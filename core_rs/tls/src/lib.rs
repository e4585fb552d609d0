//! Links to object storage between hosts: TLS 1.3 in the place of CURVE, whose one thread copies and encrypts four times.
//!
//! A bridge is a thread with a tcp connection and a socketpair, whose other end is a connection like any other to a loop:
//! [`bridge`]. Both ends prove themselves by keys that follow from the cluster's ([`identity`]); where to connect, and
//! the server's public key, a peer asks over CURVE ([`introduction`]).

pub mod bridge;
pub mod dial;
pub mod identity;
pub mod introduction;
pub mod landing;
pub mod listener;
pub mod loop_host;
mod plaintext;
mod session;
