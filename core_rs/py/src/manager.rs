//! What a worker manager's host and its loop say to each other, in plain values.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use scaler_loops::engine::manager::{
    Answer, Call, CallId, Entry, EntryState, FailureKind, GroupRequest, RecordNumber, UnitSeen,
    UnitState,
};
use scaler_loops::wire::Capabilities;

/// (group, slots, capabilities, state, infrastructure)
pub type PlainEntry = (String, u32, Capabilities, String, String);
/// (group, infrastructure, state, detail)
pub type PlainUnit = (String, String, String, String);

const ENTRY_STATES: &[(&str, EntryState)] = &[
    ("intended", EntryState::Intended),
    ("started", EntryState::Started),
    ("ending", EntryState::Ending),
    ("forgotten", EntryState::Forgotten),
];
const UNIT_STATES: &[(&str, UnitState)] = &[
    ("pending", UnitState::Pending),
    ("running", UnitState::Running),
    ("succeeded", UnitState::Succeeded),
    ("failed", UnitState::Failed),
    ("gone", UnitState::Gone),
];
const FAILURES: &[(&str, FailureKind)] = &[
    ("throttled", FailureKind::Throttled),
    ("credentials", FailureKind::Credentials),
    ("temporary", FailureKind::Temporary),
    ("permanent", FailureKind::Permanent),
    ("unknown", FailureKind::Unknown),
];

fn named<T: Copy>(what: &str, name: &str, known: &[(&str, T)]) -> PyResult<T> {
    let found = known.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        PyValueError::new_err(format!(
            "{what} is one of {}, not {name:?}",
            names.join(", ")
        ))
    })
}

fn name_of<T: PartialEq>(value: &T, known: &[(&'static str, T)]) -> &'static str {
    let found = known.iter().find(|(_, other)| other == value);
    found.expect("all have names").0
}

pub fn entry((group, slots, capabilities, state, infrastructure): PlainEntry) -> PyResult<Entry> {
    Ok(Entry {
        group,
        slots,
        capabilities,
        state: named("an entry's state", &state, ENTRY_STATES)?,
        infrastructure,
    })
}

fn plain_entry(entry: Entry) -> PlainEntry {
    let state = name_of(&entry.state, ENTRY_STATES).to_owned();
    (
        entry.group,
        entry.slots,
        entry.capabilities,
        state,
        entry.infrastructure,
    )
}

pub fn units(units: Vec<PlainUnit>) -> PyResult<Answer> {
    let unit = |(group, infrastructure, state, detail): PlainUnit| {
        let state = named("a unit's state", &state, UNIT_STATES)?;
        PyResult::Ok(UnitSeen {
            group,
            infrastructure,
            state,
            detail,
        })
    };
    let units: PyResult<Vec<UnitSeen>> = units.into_iter().map(unit).collect();
    Ok(Answer::Units(units?))
}

/// `retry_after`: seconds.
pub fn failure(kind: &str, text: String, retry_after: Option<f64>) -> PyResult<Answer> {
    let seconds = retry_after.unwrap_or(0.0);
    Ok(Answer::Failed {
        kind: named("a failure's kind", kind, FAILURES)?,
        text,
        // What is no time or too long a one the engine knows how to take.
        retry_after_us: (seconds.max(0.0) * 1e6) as u64,
    })
}

pub fn record_tuple(
    py: Python<'_>,
    number: RecordNumber,
    entries: Vec<Entry>,
) -> PyResult<Bound<'_, PyTuple>> {
    let entries: Vec<PlainEntry> = entries.into_iter().map(plain_entry).collect();
    ("record", number, entries).into_pyobject(py)
}

pub fn call_tuple(py: Python<'_>, id: CallId, call: Call) -> PyResult<Bound<'_, PyTuple>> {
    let plain = |it: GroupRequest| (it.group, it.slots, it.capabilities);
    match call {
        Call::Start(requests) => {
            let requests: Vec<(String, u32, Capabilities)> =
                requests.into_iter().map(plain).collect();
            ("start", id, requests).into_pyobject(py)
        }
        Call::Heartbeat => ("heartbeat", id).into_pyobject(py),
        Call::Shutdown(groups) => ("shutdown", id, groups).into_pyobject(py),
        Call::Cleanup => ("cleanup", id).into_pyobject(py),
    }
}
