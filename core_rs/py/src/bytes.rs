//! Bytes in and out: the buffer protocol, fixed lengths, hashes.

use bytes::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::shared_bytes::SharedBytes;

/// Smaller `bytes` are copied: cheaper than keeping the object.
const SHARED: usize = 32 << 10;

/// Any contiguous buffer, for the time of a call.
pub enum Borrowed<'py> {
    Bytes(Bound<'py, PyBytes>),
    Shared(Bound<'py, SharedBytes>),
    Buffer(PyBuffer<u8>),
}

impl<'py> FromPyObject<'_, 'py> for Borrowed<'py> {
    type Error = PyErr;

    fn extract(object: Object<'_, 'py>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Borrowed::Bytes(bytes.to_owned()));
        }
        if let Ok(shared) = object.cast::<SharedBytes>() {
            return Ok(Borrowed::Shared(shared.to_owned()));
        }
        let buffer =
            PyBuffer::<u8>::get(&object).or_else(|error| bytes_of_any_format(&object, error))?;
        if !buffer.is_c_contiguous() {
            return Err(PyTypeError::new_err("the buffer is not contiguous"));
        }
        Ok(Borrowed::Buffer(buffer))
    }
}

type Object<'a, 'py> = pyo3::Borrowed<'a, 'py, PyAny>;

/// A buffer of other items than bytes (an array of doubles), seen as bytes.
fn bytes_of_any_format(object: &Bound<'_, PyAny>, error: PyErr) -> PyResult<PyBuffer<u8>> {
    let py = object.py();
    let Ok(view) = py.import("builtins")?.call_method1("memoryview", (object,)) else {
        return Err(error);
    };
    PyBuffer::get(&view.call_method1("cast", ("B",))?)
}

impl Borrowed<'_> {
    pub fn len(&self) -> usize {
        match self {
            Borrowed::Shared(shared) => shared.get().len(),
            other => other.as_slice().len(),
        }
    }

    /// The bytes. Others may write into a writable buffer meanwhile only if the interpreter's lock is given up:
    /// callers copy or hash at once and keep the lock, or leave it to the kernel to read them.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Borrowed::Bytes(bytes) => bytes.as_bytes(),
            Borrowed::Shared(shared) => shared.get().as_slice(),
            // SAFETY: contiguous (checked when it was made), held by `self`, and read under the interpreter's lock.
            Borrowed::Buffer(buffer) if buffer.len_bytes() > 0 => unsafe {
                std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes())
            },
            Borrowed::Buffer(_) => &[],
        }
    }

    /// Copies a part that is there.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> std::io::Result<()> {
        if let Borrowed::Shared(shared) = self {
            return shared.get().read(offset, to);
        }
        to.copy_from_slice(&self.as_slice()[offset..offset + to.len()]);
        Ok(())
    }

    /// The same in pieces, as far as they are in files.
    pub fn to_pieces(&self) -> Vec<Bytes> {
        match self {
            Borrowed::Shared(shared) => shared.get().handles(),
            other => vec![other.to_bytes()],
        }
    }

    /// A handle that outlives the call: on the Python object itself where that is large and cannot change.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Borrowed::Bytes(bytes) if bytes.as_bytes().len() >= SHARED => {
                Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
            }
            Borrowed::Shared(shared) => shared.get().handle(),
            _ => Bytes::copy_from_slice(self.as_slice()),
        }
    }
}

/// A Python `bytes` made of `parts`, each copied once.
pub fn join<'py>(py: Python<'py>, parts: &[Bytes]) -> PyResult<Bound<'py, PyBytes>> {
    let length: usize = parts.iter().map(Bytes::len).sum();
    // SAFETY: a new object that nobody else has seen, filled before anybody does.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length as ffi::Py_ssize_t);
        let object = Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked::<PyBytes>();
        let mut at = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
        for part in parts {
            std::ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
            at = at.add(part.len());
        }
        Ok(object)
    }
}

/// Exactly `N` bytes, named in the error.
pub fn exactly<const N: usize>(bytes: &[u8], what: &str) -> PyResult<[u8; N]> {
    let wrong = |_| PyValueError::new_err(format!("{what} is {N} bytes, not {}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

#[pyfunction]
#[pyo3(signature = (data, key=None))]
pub fn blake3<'py>(
    py: Python<'py>,
    data: Borrowed<'py>,
    key: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let hash = match key {
        Some(key) => ::blake3::keyed_hash(&exactly(key, "a key")?, data.as_slice()),
        None => ::blake3::hash(data.as_slice()),
    };
    Ok(PyBytes::new(py, hash.as_bytes()))
}
