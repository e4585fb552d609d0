//! Whether values are of plain immutable types, exactly: then many of them may share one pickle.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Deeper tuples are not plain: nobody looks further.
const DEEPEST: usize = 64;

#[pyfunction]
pub fn is_plain(values: &Bound<'_, PyList>) -> bool {
    values.iter().all(|value| plain(&value, 0))
}

fn plain(value: &Bound<'_, PyAny>, depth: usize) -> bool {
    if value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyString>()
    {
        return true;
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return depth < DEEPEST && tuple.iter().all(|part| plain(&part, depth + 1));
    }
    value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_none()
}
