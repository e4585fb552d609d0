//! `Steps`: on the path of every element, so nothing here allocates or locks.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;
use scaler_loops::line::position_of;
use scaler_loops::linux::monotonic_us;
use scaler_loops::port::Port;

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
        }
    }
}

#[pymethods]
impl Steps {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let index = self.next.load(Relaxed);
        let now = monotonic_us();
        // The first is given however late it is: every call of `steps` gets on.
        if index >= self.end
            || (now >= self.deadline_us && index > self.first)
            || self.revoked.load(Relaxed)
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
