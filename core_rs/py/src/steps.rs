//! `Steps`: on the path of every element, so nothing here allocates or locks.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;
use scaler_loops::line::position_of;
use scaler_loops::linux::monotonic_us;
use scaler_loops::port::Port;

/// The clock costs as much as the rest of a step. While so many elements together take less than this, it is read once
/// for all of them: the time at which one started is then said too early by no more than the others took.
const MOST_TOGETHER: u32 = 16;
const TOGETHER_US: u64 = 50;

#[pyclass(frozen, module = "scaler._core")]
pub struct Steps {
    port: Arc<Port>,
    elements: Py<PyList>,
    chunk: u32,
    /// The element of index `i` is `elements[i + shift]`.
    shift: isize,
    first: u32,
    /// The chunk's index of the element to come, and where these steps end.
    next: AtomicU32,
    end: u32,
    deadline_us: u64,
    revoked: AtomicBool,
    /// When the clock was read last, and how many elements may start before it is read again.
    now_us: AtomicU64,
    unread: AtomicU32,
    together: AtomicU32,
}

impl Steps {
    /// Elements `index .. end` of `chunk`, which lie at `elements[at]` and after.
    pub fn new(
        port: Arc<Port>,
        elements: Bound<'_, PyList>,
        chunk: u32,
        (index, end): (u32, u32),
        at: usize,
        slice_us: u64,
    ) -> Steps {
        Steps {
            port,
            elements: elements.unbind(),
            chunk,
            shift: at as isize - index as isize,
            first: index,
            next: AtomicU32::new(index),
            end,
            deadline_us: monotonic_us().saturating_add(slice_us),
            revoked: AtomicBool::new(false),
            now_us: AtomicU64::new(0),
            unread: AtomicU32::new(0),
            together: AtomicU32::new(1),
        }
    }

    #[inline]
    fn now_us(&self) -> u64 {
        let unread = self.unread.load(Relaxed);
        if unread > 0 {
            self.unread.store(unread - 1, Relaxed);
            return self.now_us.load(Relaxed);
        }
        let now = monotonic_us();
        let before = self.now_us.load(Relaxed);
        self.now_us.store(now, Relaxed);
        let together = match now.saturating_sub(before) < TOGETHER_US {
            true => MOST_TOGETHER.min(2 * self.together.load(Relaxed)),
            false => 1,
        };
        self.together.store(together, Relaxed);
        self.unread.store(together - 1, Relaxed);
        now
    }
}

#[pymethods]
impl Steps {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let index = self.next.load(Relaxed);
        let now = self.now_us();
        // The first is given however late it is: every call of `steps` gets on.
        if index >= self.end
            || (now >= self.deadline_us && index > self.first)
            || self.revoked.load(Relaxed)
            || (self.port.take_cut() && index > self.first)
        {
            self.port.leave();
            return Ok(None);
        }
        if !self.port.enter(position_of(self.chunk, index), now) {
            self.revoked.store(true, Relaxed);
            return Ok(None);
        }
        self.next.store(index + 1, Relaxed);
        self.elements
            .bind(py)
            .get_item((index as isize + self.shift) as usize)
            .map(Some)
    }

    #[getter]
    fn index(&self) -> u32 {
        self.next.load(Relaxed).wrapping_sub(1)
    }

    #[getter]
    fn next(&self) -> u32 {
        self.next.load(Relaxed)
    }

    #[getter]
    fn revoked(&self) -> bool {
        self.revoked.load(Relaxed)
    }
}
