//! What the host of jobs and its loop say to each other, in plain values.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use scaler_loops::engine::jobs::{JobOutcome, JobParts};
use scaler_loops::wire::ObjectKey;

use crate::bytes::{join, Borrowed};

type Payload = ::bytes::Bytes;

/// (id, "value" | "exception" | "lost", packed value, packed exception, or text)
pub type PlainOutcome<'py> = (String, String, Borrowed<'py>);

pub fn outcome((id, kind, payload): PlainOutcome<'_>) -> PyResult<(String, JobOutcome<Payload>)> {
    let outcome = match kind.as_str() {
        "value" => JobOutcome::Value(payload.to_bytes()),
        "exception" => JobOutcome::Exception(payload.to_bytes()),
        "lost" => JobOutcome::Lost(String::from_utf8_lossy(payload.as_slice()).into_owned()),
        other => {
            let text = format!("an outcome is a value, an exception or lost, not {other:?}");
            return Err(PyValueError::new_err(text));
        }
    };
    Ok((id, outcome))
}

pub fn job_tuple(
    py: Python<'_>,
    id: String,
    parts: JobParts<Payload>,
) -> PyResult<Bound<'_, PyTuple>> {
    let told = PyDict::new(py);
    let options = parts.options;
    told.set_item("session", parts.session)?;
    told.set_item("sequence", parts.sequence)?;
    told.set_item("attempt", parts.attempt)?;
    told.set_item("name", options.name)?;
    told.set_item("timeout", options.timeout_us as f64 / 1e6)?;
    told.set_item("priority", options.priority)?;
    told.set_item("capabilities", options.capabilities)?;
    told.set_item("function", PyBytes::new(py, &parts.function))?;
    told.set_item("style", parts.style as u8)?;
    told.set_item("form", parts.form as u8)?;
    told.set_item("count", parts.count)?;
    told.set_item("index", parts.index)?;
    told.set_item("payload", PyBytes::new(py, &parts.payload))?;
    let taken = parts.taken.iter().map(|one| {
        let payload = PyBytes::new(py, &one.payload);
        (one.form as u8, one.count, one.index, payload)
    });
    told.set_item("taken", PyList::new(py, taken)?)?;
    let objects = parts.objects.iter();
    let objects = objects.map(|key| (key.session, PyBytes::new(py, &key.hash)));
    told.set_item("objects", PyList::new(py, objects)?)?;
    ("job", id, told).into_pyobject(py)
}

pub fn object_tuple(
    py: Python<'_>,
    key: ObjectKey,
    parts: Vec<Payload>,
) -> PyResult<Bound<'_, PyTuple>> {
    let hash = PyBytes::new(py, &key.hash);
    ("job_object", key.session, hash, join(py, &parts)?).into_pyobject(py)
}

pub fn forget_object_tuple(py: Python<'_>, key: ObjectKey) -> PyResult<Bound<'_, PyTuple>> {
    let hash = PyBytes::new(py, &key.hash);
    ("forget_job_object", key.session, hash).into_pyobject(py)
}
