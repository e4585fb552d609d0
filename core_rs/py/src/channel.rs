//! `Channel`.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use scaler_loops::channel::{self, ChannelEvent};
use scaler_loops::dialed::Waiting;
use scaler_loops::wire::{
    Block, Failure, Form, FunctionId, Graph, Need, ObjectKey, ObjectUse, QueryKind, Role, Segment,
    SessionId, Submit,
};

use crate::bytes::{exactly, Borrowed};
use crate::descriptor::owned;
use crate::dialed;
use crate::options::Options;

#[pyclass(frozen, module = "scaler._core")]
pub struct Channel {
    inner: Mutex<channel::Channel>,
    waiting: Arc<Waiting>,
    session: SessionId,
}

#[pymethods]
impl Channel {
    #[new]
    fn new(
        session: u64,
        link: u64,
        ticket: Vec<u8>,
        properties: &Bound<'_, PyDict>,
        heartbeat: f64,
    ) -> PyResult<Self> {
        let hello = dialed::hello(Role::Client, session, ticket, properties)?;
        let inner =
            channel::Channel::new(hello, link)?.with_heartbeat(dialed::heartbeat_us(heartbeat)?);
        let waiting = Arc::clone(inner.waiting());
        Ok(Channel {
            inner: Mutex::new(inner),
            waiting,
            session,
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
    fn credit(&self) -> bool {
        self.lock().credit()
    }

    #[getter]
    fn backlog(&self) -> u64 {
        self.lock().backlog()
    }

    #[getter]
    fn unsent(&self) -> bool {
        self.lock().unsent()
    }

    #[getter]
    fn unfinished(&self) -> u64 {
        self.lock().unfinished()
    }

    fn function<'py>(&self, py: Python<'py>, pickled: &Bound<'py, PyBytes>) -> Bound<'py, PyBytes> {
        let id = self
            .lock()
            .function(Bytes::copy_from_slice(pickled.as_bytes()));
        PyBytes::new(py, &id)
    }

    fn forget_function(&self, function: &[u8]) -> PyResult<()> {
        self.lock().forget_function(function_id(function)?);
        Ok(())
    }

    fn submit_many(
        &self,
        function: &[u8],
        options: &Bound<'_, Options>,
        first: u64,
        blobs: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        let held: Vec<Bound<'_, PyBytes>> = blobs
            .iter()
            .map(|blob| blob.cast_into::<PyBytes>().map_err(PyErr::from))
            .collect::<PyResult<_>>()?;
        let blobs: Vec<&[u8]> = held.iter().map(|blob| blob.as_bytes()).collect();
        self.lock().submit_many(
            function_id(function)?,
            options.get().0.clone(),
            first,
            &blobs,
        );
        Ok(())
    }

    fn submit_one(
        &self,
        function: &[u8],
        options: &Bound<'_, Options>,
        sequence: u64,
        blob: &Bound<'_, PyBytes>,
    ) -> PyResult<u8> {
        let (function, options) = (function_id(function)?, options.get().0.clone());
        let mut inner = self.lock();
        inner.submit_many(function, options, sequence, &[blob.as_bytes()]);
        inner.flush();
        Ok(u8::from(inner.credit()) | u8::from(inner.unsent()) << 1)
    }

    #[pyo3(signature = (function, options, first, blocks, objects=Vec::new()))]
    fn submit_blocks(
        &self,
        function: &[u8],
        options: &Bound<'_, Options>,
        first: u64,
        blocks: Vec<(u32, u8, Borrowed<'_>)>,
        objects: Vec<(u32, u64, Vec<u8>, u64)>,
    ) -> PyResult<()> {
        let blocks = blocks.into_iter().map(block).collect::<PyResult<_>>()?;
        let objects = objects
            .into_iter()
            .map(object_use)
            .collect::<PyResult<_>>()?;
        let (function, options) = (function_id(function)?, options.get().0.clone());
        self.lock().submit(Submit {
            function,
            first,
            options,
            blocks,
            objects,
            finished: Vec::new(),
            graph: None,
        });
        Ok(())
    }

    fn submit_parts(&self, parts: Vec<Part<'_>>, announced_from: u64) -> PyResult<Vec<u64>> {
        let parts = parts
            .into_iter()
            .map(|part| submission(part, announced_from))
            .collect::<PyResult<Vec<_>>>()?;
        let mut inner = self.lock();
        Ok(inner.submit_parts(parts))
    }

    fn cancel(&self, first: u64, count: u64) {
        self.lock().cancel(first, count);
    }

    fn cancel_unstarted(&self, first: u64, count: u64) -> u32 {
        self.lock().cancel_unstarted(first, count)
    }

    fn query(&self, kind: u8, first: u64) -> PyResult<u32> {
        let kind = match kind {
            0 => QueryKind::Explain,
            1 => QueryKind::State,
            2 => QueryKind::Status,
            _ => return Err(PyValueError::new_err(format!("{kind} is no kind of query"))),
        };
        Ok(self.lock().query(kind, first))
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn stream_output(&self) {
        self.lock().stream_output();
    }

    fn goodbye(&self) {
        self.lock().goodbye();
    }

    fn shutdown(&self) -> u32 {
        self.lock().shutdown()
    }

    fn hold_object(&self, hash: &[u8], size: u64) -> PyResult<()> {
        self.lock().hold_object(self.key(hash)?, size);
        Ok(())
    }

    fn release_object(&self, hash: &[u8]) -> PyResult<()> {
        self.lock().release_object(self.key(hash)?);
        Ok(())
    }

    fn flush(&self) {
        self.lock().flush();
    }

    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        dialed::wait(py, &self.waiting, timeout)
    }

    fn wake(&self) {
        self.waiting.wake();
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let happened = self.lock().read();
        let mut events = Vec::with_capacity(happened.len());
        for event in happened {
            add_event(py, event, &mut events)?;
        }
        Ok(events)
    }
}

/// Elements of one function, as `submit_parts` takes them: function, options, first sequence, blocks or (where these are
/// none) a blob each, objects, needs as offset and sequence in turn, uses.
type Part<'a> = (
    Vec<u8>,
    Bound<'a, Options>,
    u64,
    Vec<(u32, u8, Borrowed<'a>)>,
    Vec<Bound<'a, PyBytes>>,
    Vec<(u32, u64, Vec<u8>, u64)>,
    Vec<u64>,
    Vec<u32>,
);

fn submission(part: Part<'_>, announced_from: u64) -> PyResult<Submit<Bytes>> {
    let (function, options, first, blocks, blobs, objects, needs, uses) = part;
    let blocks: Vec<Block<Bytes>> = if blocks.is_empty() {
        let blobs: Vec<&[u8]> = blobs.iter().map(|blob| blob.as_bytes()).collect();
        channel::pack_blocks(&blobs)
    } else {
        blocks.into_iter().map(block).collect::<PyResult<_>>()?
    };
    let count: u64 = blocks.iter().map(|block| u64::from(block.count)).sum();
    let mut last = 0;
    let mut need = |pair: &[u64]| {
        let &[element, on] = pair else {
            return Err(PyValueError::new_err("needs are pairs of numbers"));
        };
        if element < last || element >= count || on >= first + element {
            return Err(PyValueError::new_err(
                "a need of no element, or of a later one",
            ));
        }
        last = element;
        Ok(Need {
            element: element as u32,
            on,
            announced: on >= announced_from,
        })
    };
    let needs = needs.chunks(2).map(&mut need).collect::<PyResult<_>>()?;
    if !uses.is_empty() && uses.len() as u64 != count {
        return Err(PyValueError::new_err("uses are of each element or of none"));
    }
    Ok(Submit {
        function: function_id(&function)?,
        first,
        options: options.get().0.clone(),
        blocks,
        objects: objects
            .into_iter()
            .map(object_use)
            .collect::<PyResult<_>>()?,
        finished: Vec::new(),
        graph: Some(Box::new(Graph { needs, uses })),
    })
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, channel::Channel> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, hash: &[u8]) -> PyResult<ObjectKey> {
        Ok(ObjectKey {
            session: self.session,
            hash: exactly(hash, "an object's hash")?,
        })
    }
}

fn function_id(bytes: &[u8]) -> PyResult<FunctionId> {
    exactly(bytes, "a function's id")
}

fn block((count, form, payload): (u32, u8, Borrowed<'_>)) -> PyResult<Block<Bytes>> {
    let form = match form {
        0 => Form::List,
        1 => Form::Table,
        2 => Form::Single,
        3 => Form::Reference,
        _ => {
            return Err(PyValueError::new_err(format!(
                "{form} is no form of a block"
            )))
        }
    };
    if count == 0 || (count > 1 && matches!(form, Form::Single | Form::Reference)) {
        return Err(PyValueError::new_err(format!(
            "{count} elements in a block of form {form:?}"
        )));
    }
    Ok(Block {
        count,
        form,
        payload: payload.to_bytes(),
    })
}

fn object_use((element, session, hash, size): (u32, u64, Vec<u8>, u64)) -> PyResult<ObjectUse> {
    let hash = exactly(&hash, "an object's hash")?;
    Ok(ObjectUse {
        element,
        key: ObjectKey { session, hash },
        size,
    })
}

fn add_event<'py>(
    py: Python<'py>,
    event: ChannelEvent,
    events: &mut Vec<Bound<'py, PyTuple>>,
) -> PyResult<()> {
    let event = match event {
        ChannelEvent::Results(segments) => {
            for one in segments {
                events.push(segment(py, one)?);
            }
            return Ok(());
        }
        ChannelEvent::Answer { request, ok, text } => {
            (dialed::ANSWER, request, ok, text).into_pyobject(py)?
        }
        ChannelEvent::Closing { reason } => (dialed::CLOSING, reason).into_pyobject(py)?,
        ChannelEvent::Output { dropped, payload } => {
            (dialed::OUTPUT, dropped, PyBytes::new(py, &payload)).into_pyobject(py)?
        }
        ChannelEvent::Refused { code, text } => dialed::refused(py, code, text)?,
        ChannelEvent::Welcome { welcome, resumed } => dialed::welcome(py, welcome, resumed)?,
        ChannelEvent::Disconnected => dialed::disconnected(py)?,
    };
    events.push(event);
    Ok(())
}

fn segment(py: Python<'_>, segment: Segment<Bytes>) -> PyResult<Bound<'_, PyTuple>> {
    let Segment {
        first,
        count,
        kind,
        payload,
        failure,
        except,
        busy_us,
    } = segment;
    let failure = failure
        .map(|failure| failure_tuple(py, failure))
        .transpose()?;
    let payload = PyBytes::new(py, &payload);
    (
        dialed::RESULTS,
        first,
        count,
        kind as u8,
        payload,
        PyList::new(py, except)?,
        failure,
        busy_us,
    )
        .into_pyobject(py)
}

fn failure_tuple(py: Python<'_>, failure: Failure) -> PyResult<Bound<'_, PyTuple>> {
    let Failure {
        code,
        attempts,
        status,
        nodes,
        detail,
    } = failure;
    (code as u8, attempts, status, nodes, detail).into_pyobject(py)
}
