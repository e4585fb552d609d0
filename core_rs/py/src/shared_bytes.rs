//! `SharedBytes`: bytes in files that processes of one host share.

use std::os::raw::{c_int, c_void};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use scaler_loops::copies::Owner;
use scaler_loops::linux::want_large_pages;
use scaler_loops::spare_files::Source;
use scaler_loops::{copies, gather, mapped, spare_files};

use crate::bytes::{join, Borrowed};

/// Fresh memory from here on is a mapping of its own, which large pages may be asked for.
const OF_LARGE_PAGES: usize = 8 << 20;

#[pyclass(frozen, module = "scaler._core")]
pub struct SharedBytes {
    /// At least one; some of them in files.
    pieces: Vec<Bytes>,
    length: usize,
    /// All of them in one, once somebody has asked for that.
    joined: OnceLock<Bytes>,
}

/// A mapping of a file, whose changes nobody else sees.
#[pyclass(module = "scaler._core")]
pub struct OwnView {
    mapping: mapped::OwnView,
    offset: usize,
    length: usize,
}

#[pymethods]
impl SharedBytes {
    fn __len__(&self) -> usize {
        self.length
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = slf.get().as_slice();
        let (start, length) = (bytes.as_ptr().cast_mut(), bytes.len());
        // SAFETY: the bytes live as long as the object, which the view holds; nobody may write.
        unsafe { fill(slf.into_any(), view, start, length, true, flags) }
    }

    /// The length of each piece.
    fn pieces(&self) -> Vec<usize> {
        self.pieces.iter().map(Bytes::len).collect()
    }

    /// One piece as a view of its own, in which what is written stays.
    fn own_view(&self, piece: usize) -> PyResult<OwnView> {
        let none = || PyValueError::new_err("these bytes are in no file");
        let bytes = self.pieces.get(piece).ok_or_else(none)?;
        let (file, offset) = mapped::file_of(bytes).ok_or_else(none)?;
        Ok(OwnView {
            mapping: file.copy_on_write()?,
            offset: offset as usize,
            length: bytes.len(),
        })
    }

    /// One piece.
    fn piece(&self, number: usize) -> PyResult<SharedBytes> {
        let bytes = self.pieces.get(number);
        let bytes = bytes.ok_or_else(|| PyValueError::new_err("no such piece"))?;
        Ok(SharedBytes::new(vec![bytes.clone()]))
    }

    /// A part, copied where this process does not have the `bytes` that it was written from.
    fn part<'py>(
        &self,
        py: Python<'py>,
        offset: usize,
        length: usize,
        remember: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let end = offset.checked_add(length).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| PyValueError::new_err("no such part"))?;
        let parts = self.cut(offset, end);
        let (bytes, file, at) = match parts.as_slice() {
            [bytes] => match mapped::file_of(bytes) {
                Some((file, at)) => (bytes, file, at),
                None => return join(py, &parts),
            },
            _ => return join(py, &parts),
        };
        let source = spare_files::source(file.id(), at, length);
        if let Some(source) = source.as_ref().and_then(owned) {
            return Ok(source.clone_ref(py).into_bound(py));
        }
        // SAFETY: a new object that nobody else has seen, filled before anybody does.
        let made = unsafe {
            let made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length as ffi::Py_ssize_t);
            let made = Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyBytes>();
            let start = ffi::PyBytes_AsString(made.as_ptr()).cast::<u8>();
            if length >= OF_LARGE_PAGES {
                want_large_pages(std::slice::from_raw_parts_mut(start.cast(), length));
            }
            let room = std::slice::from_raw_parts_mut(start, length);
            py.detach(|| file.read(room, at))?;
            made
        };
        if remember && length >= mapped::LEAST {
            copies::remember(made.as_bytes(), bytes.clone(), owner_of(&made));
        }
        Ok(made)
    }
}

impl SharedBytes {
    fn new(pieces: Vec<Bytes>) -> SharedBytes {
        SharedBytes {
            length: pieces.iter().map(Bytes::len).sum(),
            pieces,
            joined: OnceLock::new(),
        }
    }

    pub fn handles(&self) -> Vec<Bytes> {
        self.pieces.clone()
    }

    /// One handle, on a copy where there are several pieces.
    pub fn handle(&self) -> Bytes {
        match self.pieces.as_slice() {
            [bytes] => bytes.clone(),
            pieces => self.joined.get_or_init(|| pieces.concat().into()).clone(),
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        match self.pieces.as_slice() {
            [bytes] => bytes,
            pieces => self.joined.get_or_init(|| pieces.concat().into()),
        }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// What of the pieces lies from `start` to `end`, which is not past their end.
    fn cut(&self, start: usize, end: usize) -> Vec<Bytes> {
        let (mut cut, mut before) = (Vec::new(), 0);
        for piece in &self.pieces {
            let from = start.clamp(before, before + piece.len()) - before;
            let to = end.clamp(before, before + piece.len()) - before;
            if from < to {
                cut.push(piece.slice(from..to));
            }
            before += piece.len();
        }
        cut
    }

    /// Copies a part that is there. Reads files: to touch their mappings would cost their pages' faults.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> std::io::Result<()> {
        let mut before = 0;
        let end = offset + to.len();
        for piece in &self.pieces {
            let (from, until) = (offset.max(before), end.min(before + piece.len()));
            if from < until {
                let room = &mut to[from - offset..until - offset];
                match mapped::file_of(piece) {
                    Some((file, at)) => file.read(room, at + (from - before) as u64)?,
                    None => room.copy_from_slice(&piece[from - before..until - before]),
                }
            }
            before += piece.len();
        }
        Ok(())
    }

    /// Where the byte at `offset` lies in a file, and how many follow it there.
    fn place(&self, offset: usize) -> Option<(mapped::FileId, u64, usize)> {
        let mut before = 0;
        for piece in &self.pieces {
            let end = before + piece.len();
            if offset < end {
                let (file, at) = mapped::file_of(piece)?;
                return Some((file.id(), at + (offset - before) as u64, end - offset));
            }
            before = end;
        }
        None
    }
}

fn owner_of(bytes: &Bound<'_, PyBytes>) -> Owner {
    Arc::new(bytes.clone().unbind())
}

fn owned(owner: &Owner) -> Option<&Py<PyBytes>> {
    owner.downcast_ref()
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

/// The parts one after the other in files. None where they are small, or there may be no more files.
#[pyfunction]
pub fn share(py: Python<'_>, parts: Vec<Borrowed<'_>>) -> Option<SharedBytes> {
    gathered(py, &parts, Vec::new())
}

/// The same; whoever reads `bytes` objects among the parts from there may get these, while somebody needs them.
#[pyfunction]
pub fn share_from(py: Python<'_>, parts: Vec<Borrowed<'_>>) -> Option<SharedBytes> {
    forget_copies(py);
    let source = |(number, part): (usize, &Borrowed<'_>)| {
        let Borrowed::Bytes(bytes) = part else {
            return None;
        };
        let source = Source {
            address: bytes.as_bytes().as_ptr() as usize,
            length: bytes.as_bytes().len(),
            owner: owner_of(bytes),
        };
        (source.length >= mapped::LEAST).then_some((number, source))
    };
    let sources = parts.iter().enumerate().filter_map(source).collect();
    gathered(py, &parts, sources)
}

fn gathered(
    py: Python<'_>,
    parts: &[Borrowed<'_>],
    sources: Vec<(usize, Source)>,
) -> Option<SharedBytes> {
    let slices: Vec<&[u8]> = parts.iter().map(Borrowed::as_slice).collect();
    let pieces = py.detach(|| gather::gather(&slices, sources))?;
    Some(SharedBytes::new(pieces))
}

/// Lets go of the `bytes` objects that were read from files, or written there, and that nobody else has.
#[pyfunction]
pub fn forget_copies(_lock_held: Python<'_>) {
    // SAFETY: a living object, and the interpreter's lock is held.
    let references = |bytes: &Py<PyBytes>| unsafe { ffi::Py_REFCNT(bytes.as_ptr()) };
    let is_unused = |owner: &Owner| owned(owner).is_none_or(|bytes| references(bytes) <= 1);
    copies::forget(is_unused);
    spare_files::forget_sources(is_unused);
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
    let length = data.len();
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
    let length = one.len();
    if length != other.len() {
        return Ok(false);
    }
    let mut pieces = [vec![0; PIECE.min(length)], vec![0; PIECE.min(length)]];
    let mut start = 0;
    while start < length {
        let same = in_one_place(&one, &other, start);
        if same > 0 {
            start += same;
            continue;
        }
        let bytes = PIECE.min(length - start);
        let [left, right] = &mut pieces;
        one.read(start, &mut left[..bytes])?;
        other.read(start, &mut right[..bytes])?;
        if left[..bytes] != right[..bytes] {
            return Ok(false);
        }
        start += bytes;
    }
    Ok(true)
}

/// How many bytes from there on are those of one file in both.
fn in_one_place(one: &Borrowed<'_>, other: &Borrowed<'_>, offset: usize) -> usize {
    let (Borrowed::Shared(one), Borrowed::Shared(other)) = (one, other) else {
        return 0;
    };
    match (one.get().place(offset), other.get().place(offset)) {
        (Some((file, at, bytes)), Some((other, there, more))) if (file, at) == (other, there) => {
            bytes.min(more)
        }
        _ => 0,
    }
}

/// An object's bytes: shared where some are in files, joined otherwise.
pub fn whole<'py>(py: Python<'py>, parts: Vec<Bytes>) -> PyResult<Bound<'py, PyAny>> {
    if parts.iter().any(|part| mapped::file_of(part).is_some()) {
        return Ok(Bound::new(py, SharedBytes::new(parts))?.into_any());
    }
    Ok(join(py, &parts)?.into_any())
}
