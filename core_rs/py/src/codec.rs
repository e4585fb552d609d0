//! Compression of what drivers store by themselves.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use scaler_loops::wire;

use crate::bytes::Borrowed;

#[pyfunction]
pub fn compress<'py>(
    py: Python<'py>,
    data: Borrowed<'py>,
    codec: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let unknown = || PyValueError::new_err(format!("codec {codec:?}: one of auto, off, lz4, zstd"));
    let codec = wire::Codec::from_name(codec).ok_or_else(unknown)?;
    let data = data.to_bytes();
    let packed = py.detach(|| wire::pack_stored(&data, codec));
    Ok(PyBytes::new(py, &packed))
}

#[pyfunction]
pub fn decompress<'py>(
    py: Python<'py>,
    data: Borrowed<'py>,
    limit: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let data = data.to_bytes();
    let raw = py.detach(|| wire::unpack_stored(&data, limit));
    let raw = raw.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &raw))
}
