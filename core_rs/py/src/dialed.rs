//! What Channel and ObjectChannel have alike: the hello, waiting, and the events of their links.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use scaler_loops::dialed::{Waited, Waiting};
use scaler_loops::linux::monotonic_us;
use scaler_loops::wire::{Hello, RefusalCode, Role, SessionId, Welcome};

pub const EVENTS: [(&str, u8); 11] = [
    ("EVENT_RESULTS", RESULTS),
    ("EVENT_ANSWER", ANSWER),
    ("EVENT_CLOSING", CLOSING),
    ("EVENT_REFUSED", REFUSED),
    ("EVENT_WELCOME", WELCOME),
    ("EVENT_DISCONNECTED", DISCONNECTED),
    ("EVENT_STORED", STORED),
    ("EVENT_DATA", DATA),
    ("EVENT_MISSING", MISSING),
    ("EVENT_STORE_ERROR", STORE_ERROR),
    ("EVENT_OUTPUT", OUTPUT),
];
pub const RESULTS: u8 = 0;
pub const ANSWER: u8 = 1;
pub const CLOSING: u8 = 2;
pub const REFUSED: u8 = 3;
pub const WELCOME: u8 = 4;
pub const DISCONNECTED: u8 = 5;
pub const STORED: u8 = 6;
pub const DATA: u8 = 7;
pub const MISSING: u8 = 8;
pub const STORE_ERROR: u8 = 9;
pub const OUTPUT: u8 = 10;

pub fn hello(
    role: Role,
    session: SessionId,
    ticket: Vec<u8>,
    properties: &Bound<'_, PyDict>,
) -> PyResult<Hello> {
    let mut pairs: Vec<(String, String)> = Vec::with_capacity(properties.len());
    for (key, value) in properties.iter() {
        pairs.push((key.extract()?, value.extract()?));
    }
    let properties = pairs;
    Ok(Hello {
        ticket,
        session,
        properties,
        ..Hello::new(role)
    })
}

/// The shortest time between two signs of life: each wakes both ends.
const SHORTEST_HEARTBEAT: f64 = 0.001;

/// Seconds there, microseconds here.
pub fn heartbeat_us(seconds: f64) -> PyResult<u64> {
    if !(0.0..1e10).contains(&seconds) {
        return Err(PyValueError::new_err(format!(
            "heartbeat: {seconds} seconds"
        )));
    }
    Ok((seconds.max(SHORTEST_HEARTBEAT) * 1e6) as u64)
}

/// How long a signal may wait that came just before a wait.
const SIGNAL_PERIOD_US: u64 = 1_000_000;

/// True when there is something to read, write or do.
pub fn wait(py: Python<'_>, waiting: &Waiting, timeout: Option<f64>) -> PyResult<bool> {
    let deadline = timeout.map(|seconds| {
        let micros = (seconds.max(0.0) * 1e6).ceil();
        monotonic_us().saturating_add(micros as u64)
    });
    loop {
        let now = monotonic_us();
        let until = deadline.unwrap_or(u64::MAX).min(now + SIGNAL_PERIOD_US);
        match py.detach(|| waiting.wait(Some(until)))? {
            Waited::Ready => return Ok(true),
            Waited::Woken => return Ok(false),
            Waited::TimedOut if Some(until) == deadline => return Ok(false),
            // A signal that comes just before the wait does not end it.
            Waited::Interrupted | Waited::TimedOut => py.check_signals()?,
        }
    }
}

pub fn refused(py: Python<'_>, code: RefusalCode, text: String) -> PyResult<Bound<'_, PyTuple>> {
    (REFUSED, code as u8, text).into_pyobject(py)
}

pub fn welcome(py: Python<'_>, welcome: Welcome, resumed: bool) -> PyResult<Bound<'_, PyTuple>> {
    let properties = PyDict::new(py);
    for (key, value) in welcome.properties {
        properties.set_item(key, value)?;
    }
    (
        WELCOME,
        welcome.cluster,
        welcome.storage,
        resumed,
        properties,
    )
        .into_pyobject(py)
}

pub fn disconnected(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    (DISCONNECTED,).into_pyobject(py)
}
