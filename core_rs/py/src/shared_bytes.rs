//! `SharedBytes`: bytes in a file that processes of one host share.

use std::os::raw::{c_int, c_void};

use bytes::Bytes;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use scaler_loops::linux::want_large_pages;
use scaler_loops::{mapped, spare_files};

use crate::bytes::{join, Borrowed};

/// Fresh memory from here on is a mapping of its own, which large pages may be asked for.
const OF_LARGE_PAGES: usize = 8 << 20;

#[pyclass(frozen, module = "scaler._core")]
pub struct SharedBytes {
    bytes: Bytes,
}

/// A mapping of the whole file, whose changes nobody else sees.
#[pyclass(module = "scaler._core")]
pub struct OwnView {
    mapping: mapped::OwnView,
    offset: usize,
    length: usize,
}

#[pymethods]
impl SharedBytes {
    fn __len__(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = &slf.get().bytes;
        let (start, length) = (bytes.as_ptr().cast_mut(), bytes.len());
        // SAFETY: the bytes live as long as the object, which the view holds; nobody may write.
        unsafe { fill(slf.into_any(), view, start, length, true, flags) }
    }

    /// A view of its own, in which what is written stays.
    fn own_view(&self) -> PyResult<OwnView> {
        let (file, offset) = mapped::file_of(&self.bytes)
            .ok_or_else(|| PyValueError::new_err("these bytes are in no file"))?;
        Ok(OwnView {
            mapping: file.copy_on_write()?,
            offset: offset as usize,
            length: self.bytes.len(),
        })
    }

    /// A copy of a part.
    fn part<'py>(
        &self,
        py: Python<'py>,
        offset: usize,
        length: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > self.bytes.len()) {
            return Err(PyValueError::new_err("no such part"));
        }
        let Some((file, at)) = mapped::file_of(&self.bytes) else {
            return join(py, &[self.bytes.slice(offset..offset + length)]);
        };
        // SAFETY: a new object that nobody else has seen, filled before anybody does.
        unsafe {
            let made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length as ffi::Py_ssize_t);
            let made = Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyBytes>();
            let start = ffi::PyBytes_AsString(made.as_ptr()).cast::<u8>();
            if length >= OF_LARGE_PAGES {
                want_large_pages(std::slice::from_raw_parts_mut(start.cast(), length));
            }
            let room = std::slice::from_raw_parts_mut(start, length);
            py.detach(|| file.read(room, at + offset as u64))?;
            Ok(made)
        }
    }
}

impl SharedBytes {
    pub fn handle(&self) -> Bytes {
        self.bytes.clone()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Copies a part that is there. Reads the file: to touch the mapping would cost its pages' faults.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> std::io::Result<()> {
        match mapped::file_of(&self.bytes) {
            Some((file, at)) => file.read(to, at + offset as u64),
            None => {
                to.copy_from_slice(&self.bytes[offset..offset + to.len()]);
                Ok(())
            }
        }
    }
}

#[pymethods]
impl OwnView {
    fn __len__(&self) -> usize {
        self.length
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (start, length) = {
            let this = slf.borrow();
            // Inside of the mapping: the bytes that it was made of are.
            (this.mapping.start().wrapping_add(this.offset), this.length)
        };
        // SAFETY: the mapping lives as long as the object, which the view holds, and is writable.
        unsafe { fill(slf.into_any(), view, start, length, false, flags) }
    }
}

/// # Safety
/// `start` and the `length` bytes behind it live as long as `owner`.
unsafe fn fill(
    owner: Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    start: *mut u8,
    length: usize,
    read_only: bool,
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("there is no view"));
    }
    let (length, read_only) = (length as ffi::Py_ssize_t, c_int::from(read_only));
    // SAFETY: as promised by the caller; the call takes a reference on `owner`.
    let filled = unsafe {
        ffi::PyBuffer_FillInfo(
            view,
            owner.as_ptr(),
            start.cast::<c_void>(),
            length,
            read_only,
            flags,
        )
    };
    match filled {
        0 => Ok(()),
        _ => Err(PyErr::fetch(owner.py())),
    }
}

/// The parts one after the other in a file. None where they are small, or there may be no more files.
#[pyfunction]
pub fn share(parts: Vec<Borrowed<'_>>) -> Option<SharedBytes> {
    let slices: Vec<&[u8]> = parts.iter().map(Borrowed::as_slice).collect();
    let bytes = spare_files::share(&slices)?;
    Some(SharedBytes { bytes })
}

#[pyfunction]
pub fn own_name(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &scaler_loops::port::own_name())
}

/// Of the length and of 64 KiB here and there.
#[pyfunction]
pub fn fingerprint<'py>(py: Python<'py>, data: Borrowed<'py>) -> PyResult<Bound<'py, PyBytes>> {
    const SAMPLE: usize = 4 << 10;
    const SAMPLES: usize = 16;
    let length = data.as_slice().len();
    let mut hasher = ::blake3::Hasher::new();
    hasher.update(&(length as u64).to_le_bytes());
    if length <= SAMPLE * SAMPLES {
        hasher.update(data.as_slice());
    } else {
        let mut sample = [0; SAMPLE];
        for at in 0..SAMPLES {
            // The first begins at 0, the last reaches to the end.
            let offset = (length - SAMPLE) / (SAMPLES - 1) * at;
            let offset = if at + 1 == SAMPLES {
                length - SAMPLE
            } else {
                offset
            };
            data.read(offset, &mut sample)?;
            hasher.update(&sample);
        }
    }
    Ok(PyBytes::new(py, &hasher.finalize().as_bytes()[..16]))
}

#[pyfunction]
pub fn same_bytes(one: Borrowed<'_>, other: Borrowed<'_>) -> PyResult<bool> {
    const PIECE: usize = 64 << 10;
    let length = one.as_slice().len();
    if length != other.as_slice().len() {
        return Ok(false);
    }
    let mut pieces = [vec![0; PIECE.min(length)], vec![0; PIECE.min(length)]];
    for start in (0..length).step_by(PIECE) {
        let bytes = PIECE.min(length - start);
        let [left, right] = &mut pieces;
        one.read(start, &mut left[..bytes])?;
        other.read(start, &mut right[..bytes])?;
        if left[..bytes] != right[..bytes] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An object's bytes: shared where they are one file, joined otherwise.
pub fn whole<'py>(py: Python<'py>, parts: &[Bytes]) -> PyResult<Bound<'py, PyAny>> {
    if let [bytes] = parts {
        if mapped::file_of(bytes).is_some() {
            let bytes = bytes.clone();
            return Ok(Bound::new(py, SharedBytes { bytes })?.into_any());
        }
    }
    Ok(join(py, parts)?.into_any())
}
