//! Tickets: a peer's proof that someone with the cluster key let it in (`ARCHITECTURE.md`, "Keys").
//!
//! ```text
//! role u8 ‖ expiry u64 little-endian, seconds since 1970, 0 never ‖ group length u8 ‖ group ‖ MAC 32 bytes
//! ```

use crate::wire::{Hello, Role, Welcome};

/// Key of the MAC, which only scheduler and storage hold.
pub type TicketKey = [u8; 32];

/// The role in a ticket that is good for every role.
pub const ANY_ROLE: u8 = 255;
const MAC: usize = 32;
const BEFORE_GROUP: usize = 10;

/// Makes a ticket.
///
/// # Panics
/// A group's name is at most 255 bytes.
pub fn make(key: &TicketKey, role: u8, group: &str, expiry: u64) -> Vec<u8> {
    let mut ticket = vec![role];
    ticket.extend_from_slice(&expiry.to_le_bytes());
    ticket.push(u8::try_from(group.len()).expect("a group's name is at most 255 bytes"));
    ticket.extend_from_slice(group.as_bytes());
    let mac = blake3::keyed_hash(key, &ticket);
    ticket.extend_from_slice(mac.as_bytes());
    ticket
}

/// The property of a welcome in which a renewed ticket is, as hexadecimal digits.
const RENEWED: &str = "ticket";

/// One without an end in the place of an authentic one that has one: whoever was let in in time may come back at any
/// time. None where there is no need.
pub(super) fn renewed(key: &TicketKey, ticket: &[u8]) -> Option<Vec<u8>> {
    let (signed, _) = ticket.split_last_chunk::<MAC>()?;
    let expiry = signed.get(1..9)?;
    let group = std::str::from_utf8(signed.get(BEFORE_GROUP..)?).ok()?;
    (expiry != [0; 8]).then(|| make(key, signed[0], group, 0))
}

pub(super) fn as_property(ticket: &[u8]) -> (String, String) {
    let digits = ticket.iter().map(|byte| format!("{byte:02x}")).collect();
    (RENEWED.to_owned(), digits)
}

/// The ticket with which the peer is to come from now on, where the welcome has one.
pub fn of_welcome(welcome: &Welcome) -> Option<Vec<u8>> {
    let (_, digits) = welcome
        .properties
        .iter()
        .find(|(name, _)| name == RENEWED)?;
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Whether the ticket in `hello` lets its sender in at `unix_seconds`; if not, why, with the mend. known: it was let in
/// before, in time.
pub(super) fn check(
    key: &TicketKey,
    hello: &Hello,
    unix_seconds: u64,
    known: bool,
) -> Result<(), &'static str> {
    if hello.ticket.is_empty() {
        return Err("no ticket: set SCALER_KEY_FILE or SCALER_KEY to this cluster's key or to a join token for it");
    }
    let Some((signed, mac)) = hello.ticket.split_last_chunk::<MAC>() else {
        return Err("the ticket is cut short: export the join token again (scaler_keys export)");
    };
    // blake3's own comparison takes the same time wherever two hashes differ.
    if blake3::keyed_hash(key, signed) != *mac {
        return Err(
            "the ticket is of another cluster: use this cluster's key, or a join token of it",
        );
    }
    if signed.len() < BEFORE_GROUP || signed.len() != BEFORE_GROUP + usize::from(signed[9]) {
        return Err(
            "the ticket has another form than this version knows: export it with this version",
        );
    }
    check_terms(signed, hello, unix_seconds, known)
}

/// What an authentic ticket allows.
fn check_terms(
    signed: &[u8],
    hello: &Hello,
    unix_seconds: u64,
    known: bool,
) -> Result<(), &'static str> {
    let expiry = u64::from_le_bytes(signed[1..9].try_into().expect("8 bytes"));
    let group = &signed[BEFORE_GROUP..];
    if signed[0] != ANY_ROLE && signed[0] != hello.role as u8 {
        return Err("the ticket is for another role: export a join token for this one");
    }
    if expiry != 0 && expiry <= unix_seconds && !known {
        return Err("the ticket has expired: export a new join token (scaler_keys export)");
    }
    let fits = match (&hello.node, hello.role) {
        (Some(node), _) => node.group.as_bytes() == group,
        // A node's other links: its own to object storage, and those of clients in its tasks.
        (None, role) => matches!(role, Role::Objects | Role::Client),
    };
    if !group.is_empty() && !fits {
        return Err("the ticket is for another worker group");
    }
    Ok(())
}
