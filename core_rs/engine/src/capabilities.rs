//! Whether what is offered is enough for what is asked: one rule for placing tasks and for starting workers.

use crate::wire::Capabilities;

/// What is offered of one; `None` where it is not. `offered` is sorted by name.
pub fn amount_of(offered: &Capabilities, name: &str) -> Option<i64> {
    let at = offered
        .binary_search_by(|(other, _)| other.as_str().cmp(name))
        .ok()?;
    Some(offered[at].1)
}

/// An amount that is asked for needs one offered that is as large; below 0 stands for the name alone.
pub fn offers_one(offered: &Capabilities, name: &str, amount: i64) -> bool {
    amount_of(offered, name).is_some_and(|offered| amount < 0 || offered >= amount)
}

pub fn offers(offered: &Capabilities, asked: &Capabilities) -> bool {
    asked
        .iter()
        .all(|(name, amount)| offers_one(offered, name, *amount))
}
