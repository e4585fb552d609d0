//! `Options`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use scaler_loops::wire::{self, CallStyle};

#[pyclass(frozen, module = "scaler._core")]
pub struct Options(pub wire::Options);

#[pymethods]
impl Options {
    #[new]
    #[pyo3(signature = (*, style=0, capabilities=Vec::new(), priority=0, depth=0, timeout_us=0, retries=0, python_minor=0, name=String::new()))]
    #[allow(clippy::too_many_arguments)] // the names of the Python call
    fn new(
        style: u8,
        mut capabilities: Vec<(String, i64)>,
        priority: i32,
        depth: u16,
        timeout_us: u64,
        retries: u16,
        python_minor: u8,
        name: String,
    ) -> PyResult<Self> {
        let style = call_style(style)?;
        capabilities.sort();
        if capabilities.len() > wire::limits::MAX_NAMES {
            return Err(PyValueError::new_err(format!(
                "at most {} capabilities",
                wire::limits::MAX_NAMES
            )));
        }
        if let Some(pair) = capabilities.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(PyValueError::new_err(format!(
                "capability {:?} twice",
                pair[0].0
            )));
        }
        let options = wire::Options {
            style,
            capabilities,
            priority,
            depth,
            timeout_us,
            retries,
            python_minor,
            name,
        };
        Ok(Options(options))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Options>()
            .is_ok_and(|other| other.get().0 == self.0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

fn call_style(style: u8) -> PyResult<CallStyle> {
    match style {
        0 => Ok(CallStyle::Full),
        1 => Ok(CallStyle::One),
        2 => Ok(CallStyle::Star),
        _ => Err(PyValueError::new_err(format!("{style} is no call style"))),
    }
}
