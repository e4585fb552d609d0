//! What a process asks of the kernel about its relatives.

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use scaler_loops::linux;

#[pyfunction]
pub fn end_with_parent(parent: u32) -> PyResult<()> {
    if linux::end_with_parent(parent)? {
        return Ok(());
    }
    Err(PySystemExit::new_err(1))
}

#[pyfunction]
pub fn adopt_orphans() -> PyResult<()> {
    Ok(linux::adopt_orphans()?)
}
