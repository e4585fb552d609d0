//! Tables of pickles, and frames between hosts.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use scaler_loops::table;

use crate::bytes::Borrowed;

#[pyfunction]
pub fn pack_table<'py>(
    py: Python<'py>,
    blobs: Vec<Bound<'py, PyBytes>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let packed = table::pack(blobs.iter().map(|blob| blob.as_bytes()));
    let packed =
        packed.map_err(|_| PyValueError::new_err("a table's elements together are below 4 GiB"))?;
    Ok(PyBytes::new(py, &packed))
}

#[pyfunction]
pub fn table_ends<'py>(
    py: Python<'py>,
    payload: Borrowed<'py>,
    count: usize,
) -> PyResult<Bound<'py, PyList>> {
    let ends = table::ends(payload.as_slice(), count);
    PyList::new(
        py,
        ends.ok_or_else(|| PyValueError::new_err(format!("not a table of {count} elements")))?,
    )
}
