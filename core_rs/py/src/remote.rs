//! Frames as they go between hosts.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use scaler_loops::wire;

use crate::bytes::Borrowed;

#[pyfunction]
pub fn pack_remote<'py>(
    py: Python<'py>,
    frame: Borrowed<'py>,
    codec: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let unknown = || PyValueError::new_err(format!("codec {codec:?}: one of auto, off, lz4, zstd"));
    let codec = wire::Codec::from_name(codec).ok_or_else(unknown)?;
    let frame = frame.to_bytes();
    let packed = py.detach(|| wire::pack_remote(&frame, codec));
    Ok(PyBytes::new(py, &packed))
}

#[pyfunction]
pub fn unpack_remote<'py>(py: Python<'py>, frame: Borrowed<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let frame = frame.to_bytes();
    let unpacked = py.detach(|| wire::unpack_remote(&frame));
    let unpacked = unpacked.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &unpacked))
}
