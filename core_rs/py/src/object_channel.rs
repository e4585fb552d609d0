//! `ObjectChannel`.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use scaler_loops::dialed::Waiting;
use scaler_loops::object_channel::{self, ObjectEvent};
use scaler_loops::wire::{ObjectKey, Role};

use crate::bytes::{exactly, Borrowed};
use crate::descriptor::owned;
use crate::dialed;
use crate::shared_bytes::whole;

#[pyclass(frozen, module = "scaler._core")]
pub struct ObjectChannel {
    inner: Mutex<object_channel::ObjectChannel>,
    waiting: Arc<Waiting>,
}

#[pymethods]
impl ObjectChannel {
    #[new]
    fn new(
        session: u64,
        link: u64,
        ticket: Vec<u8>,
        properties: &Bound<'_, PyDict>,
        heartbeat: f64,
    ) -> PyResult<Self> {
        let hello = dialed::hello(Role::Objects, session, ticket, properties)?;
        let inner = object_channel::ObjectChannel::new(hello, link)?
            .with_heartbeat(dialed::heartbeat_us(heartbeat)?);
        let waiting = Arc::clone(inner.waiting());
        Ok(ObjectChannel {
            inner: Mutex::new(inner),
            waiting,
        })
    }

    fn attach(&self, fd: RawFd) -> PyResult<()> {
        Ok(self.lock().attach(owned(fd)?)?)
    }

    fn detach(&self) {
        self.lock().detach();
    }

    #[getter]
    fn attached(&self) -> bool {
        self.lock().attached()
    }

    #[getter]
    fn unsent(&self) -> bool {
        self.lock().unsent()
    }

    fn put(&self, hash: &[u8], data: Borrowed<'_>) -> PyResult<u32> {
        let hash = exactly(hash, "an object's hash")?;
        Ok(self.lock().put(hash, data.to_pieces()))
    }

    fn get(&self, session: u64, hash: &[u8]) -> PyResult<u32> {
        let hash = exactly(hash, "an object's hash")?;
        Ok(self.lock().get(ObjectKey { session, hash }))
    }

    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        dialed::wait(py, &self.waiting, timeout)
    }

    fn wake(&self) {
        self.waiting.wake();
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let happened = self.lock().read();
        happened
            .into_iter()
            .map(|event| event_tuple(py, event))
            .collect()
    }
}

impl ObjectChannel {
    fn lock(&self) -> MutexGuard<'_, object_channel::ObjectChannel> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event_tuple(py: Python<'_>, event: ObjectEvent) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        ObjectEvent::Stored { request } => (dialed::STORED, request).into_pyobject(py),
        ObjectEvent::Data { request, parts } => {
            (dialed::DATA, request, whole(py, parts)?).into_pyobject(py)
        }
        ObjectEvent::Missing { request } => (dialed::MISSING, request).into_pyobject(py),
        ObjectEvent::StoreError {
            request,
            code,
            text,
        } => (dialed::STORE_ERROR, request, code as u8, text).into_pyobject(py),
        ObjectEvent::Refused { code, text } => dialed::refused(py, code, text),
        ObjectEvent::Welcome { welcome, resumed } => dialed::welcome(py, welcome, resumed),
        ObjectEvent::Disconnected => dialed::disconnected(py),
    }
}
