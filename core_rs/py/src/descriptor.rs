//! Descriptors that Python gives away.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use scaler_loops::linux::is_open;

/// Takes over a descriptor that the caller gives away.
pub fn owned(fd: RawFd) -> PyResult<OwnedFd> {
    if fd < 0 {
        return Err(PyValueError::new_err(format!("{fd} is no file descriptor")));
    }
    // SAFETY: only looked at, to see whether it is open.
    let open = is_open(unsafe { BorrowedFd::borrow_raw(fd) });
    if !open {
        return Err(io::Error::from_raw_os_error(9).into());
    }
    // SAFETY: open, and by the contract of the calls that end here ("takes over") nobody else's from now on.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
