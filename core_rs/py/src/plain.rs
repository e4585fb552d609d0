//! Whether values are of plain immutable types, exactly: then many of them may share one pickle.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Deeper tuples are not plain: nobody looks further.
const DEEPEST: usize = 64;

#[pyfunction]
pub fn is_plain(values: &Bound<'_, PyList>) -> bool {
    // Of what is like the one before it there is nothing more to find out: most lists are of one type.
    let mut known = std::ptr::null_mut();
    (0..values.len()).all(|index| {
        // SAFETY: the list has this element and keeps it meanwhile: the interpreter is ours and nothing here runs code.
        let kind = unsafe { ffi::Py_TYPE(ffi::PyList_GetItem(values.as_ptr(), index as isize)) };
        if kind == known {
            return true;
        }
        let Ok(value) = values.get_item(index) else {
            return false;
        };
        if !value.is_exact_instance_of::<PyTuple>() {
            known = kind;
        }
        plain(&value, 0)
    })
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
