//! `ExecutorPort`.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use scaler_loops::port::{Order, Port, Received, PART};
use scaler_loops::wire::{Chunk, ChunkResult, Message, OutcomeKind};

use crate::bytes::Borrowed;
use crate::descriptor::owned;
use crate::shared_bytes::whole;
use crate::steps::Steps;

type Payload = ::bytes::Bytes;

#[pyclass(frozen, module = "scaler._core")]
pub struct ExecutorPort {
    port: Arc<Port>,
    /// (chunk, elements) of the chunks that were received and not ended.
    takes: Mutex<VecDeque<(u32, u32)>>,
}

#[pymethods]
impl ExecutorPort {
    #[new]
    fn new(fd: RawFd, line_fd: RawFd) -> PyResult<Self> {
        let (socket, line) = (owned(fd)?, owned(line_fd)?);
        let port = Arc::new(Port::new(socket, &line)?);
        Ok(ExecutorPort {
            port,
            takes: Mutex::default(),
        })
    }

    #[pyo3(signature = (error=String::new()))]
    fn ready(&self, py: Python<'_>, error: String) -> PyResult<()> {
        self.send(
            py,
            Message::Ready {
                pid: std::process::id(),
                error,
            },
        )
    }

    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.port.leave();
        loop {
            match py.detach(|| self.port.receive())? {
                Received::Order(order) => return self.order(py, order).map(Some),
                Received::Interrupted => py.check_signals()?,
                Received::End => return Ok(None),
            }
        }
    }

    fn restart_clock(&self) {
        self.port.restart_clock();
    }

    fn steps(
        &self,
        chunk: u32,
        index: u32,
        elements: &Bound<'_, PyAny>,
        at: usize,
        slice_us: u64,
    ) -> PyResult<Steps> {
        if index > 0 {
            // What came of the slice before.
            elements.py().detach(|| self.port.flush())?;
        }
        let elements = match elements.cast::<PyList>() {
            Ok(list) => list.clone(),
            Err(_) => PyList::new(
                elements.py(),
                elements.try_iter()?.collect::<PyResult<Vec<_>>>()?,
            )?,
        };
        let take = self
            .take_of(chunk)
            .ok_or_else(|| PyValueError::new_err(format!("chunk {chunk} is not here")))?;
        let there = elements.len().saturating_sub(at).min(u32::MAX as usize) as u32;
        let end = take.min(index.saturating_add(there));
        Ok(Steps::new(
            Arc::clone(&self.port),
            elements,
            chunk,
            (index, end),
            at,
            slice_us,
        ))
    }

    #[allow(clippy::too_many_arguments)] // the arguments of the Python call
    fn result(
        &self,
        py: Python<'_>,
        chunk: u32,
        index: u32,
        count: u32,
        kind: u8,
        payload: Borrowed<'_>,
        busy_us: u64,
    ) -> PyResult<()> {
        let kind = value_kind(kind)?;
        let length = payload.len();
        if length > PART {
            if count == 1 && kind == OutcomeKind::ValueSingle {
                return self.large_value(py, chunk, index, payload);
            }
            return Err(PyValueError::new_err(format!(
                "{length} bytes in one result; {PART} at most"
            )));
        }
        let payload = payload.to_bytes();
        let result = ChunkResult {
            chunk,
            index,
            count,
            kind,
            payload,
            busy_us,
        };
        Ok(py.detach(|| self.port.result(result))?)
    }

    fn large_value(
        &self,
        py: Python<'_>,
        chunk: u32,
        index: u32,
        payload: Borrowed<'_>,
    ) -> PyResult<()> {
        let value = payload.to_pieces();
        Ok(py.detach(|| self.port.large_value(chunk, index, &value))?)
    }

    fn end(&self, py: Python<'_>, chunk: u32, next: u32, busy_us: u64) -> PyResult<()> {
        self.takes().retain(|(other, _)| *other != chunk);
        Ok(py.detach(|| self.port.chunk_end(None, chunk, next, busy_us))?)
    }

    fn end_with_value(
        &self,
        py: Python<'_>,
        chunk: u32,
        payload: Borrowed<'_>,
        busy_us: u64,
    ) -> PyResult<()> {
        self.takes().retain(|(other, _)| *other != chunk);
        let result = ChunkResult {
            chunk,
            index: 0,
            count: 1,
            kind: OutcomeKind::ValueSingle,
            payload: payload.to_bytes(),
            busy_us,
        };
        Ok(py.detach(|| self.port.chunk_end(Some(result), chunk, 1, busy_us))?)
    }

    fn say_waits(&self, py: Python<'_>, waits: bool) -> PyResult<bool> {
        Ok(py.detach(|| self.port.say_waits(waits))?)
    }

    fn cut_slice(&self) {
        self.port.cut_slice();
    }

    fn output(
        &self,
        py: Python<'_>,
        session: u64,
        lines: u32,
        dropped: u64,
        payload: Borrowed<'_>,
    ) -> PyResult<()> {
        let payload = payload.to_bytes();
        self.send(
            py,
            Message::Output {
                session,
                lines,
                dropped,
                payload,
            },
        )
    }

    fn cancelled_here(&self) -> bool {
        self.port.take_cancel()
    }

    fn wait_flush(&self, py: Python<'_>) -> bool {
        py.detach(|| self.port.wait_flush())
    }
}

impl ExecutorPort {
    fn send(&self, py: Python<'_>, message: Message<Payload>) -> PyResult<()> {
        Ok(py.detach(|| self.port.send(vec![message]))?)
    }

    fn takes(&self) -> std::sync::MutexGuard<'_, VecDeque<(u32, u32)>> {
        self.takes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_of(&self, chunk: u32) -> Option<u32> {
        self.takes()
            .iter()
            .find(|(other, _)| *other == chunk)
            .map(|(_, take)| *take)
    }

    fn order<'py>(&self, py: Python<'py>, order: Order) -> PyResult<Bound<'py, PyTuple>> {
        match order {
            Order::Function { id, pickled } => (
                "function",
                PyBytes::new(py, &id),
                PyBytes::new(py, &pickled),
            )
                .into_pyobject(py),
            Order::ForgetFunction { id } => {
                ("forget_function", PyBytes::new(py, &id)).into_pyobject(py)
            }
            Order::Object { key, parts } => (
                "object",
                key.session,
                PyBytes::new(py, &key.hash),
                whole(py, parts)?,
            )
                .into_pyobject(py),
            Order::ForgetObject { key } => {
                ("forget_object", key.session, PyBytes::new(py, &key.hash)).into_pyobject(py)
            }
            Order::Value {
                id,
                count,
                form,
                payload,
            } => ("value", id, count, form as u8, PyBytes::new(py, &payload)).into_pyobject(py),
            Order::DropValues { ids } => ("drop_values", ids).into_pyobject(py),
            Order::Chunk(chunk) => {
                self.takes().push_back((chunk.chunk, chunk.take));
                chunk_tuple(py, chunk)
            }
            Order::Listen { session, on } => ("listen", session, on).into_pyobject(py),
            Order::Stop => ("stop",).into_pyobject(py),
        }
    }
}

fn chunk_tuple(py: Python<'_>, chunk: Chunk<Payload>) -> PyResult<Bound<'_, PyTuple>> {
    let payload = chunk
        .payload
        .as_ref()
        .map(|payload| PyBytes::new(py, payload));
    let function = PyBytes::new(py, &chunk.function);
    let order = (
        "chunk",
        chunk.chunk,
        function,
        chunk.style as u8,
        chunk.first,
        chunk.skip,
        chunk.take,
        chunk.block_count,
        chunk.form as u8,
        payload,
        chunk.session,
        (chunk.depth, chunk.priority),
    )
        .into_pyobject(py)?;
    if chunk.inputs.is_empty() {
        return Ok(order);
    }
    let inputs = chunk.inputs.iter();
    let inputs = inputs.map(|input| (input.element, input.value, input.index));
    let with_inputs = order
        .as_sequence()
        .concat((PyList::new(py, inputs)?,).into_pyobject(py)?.as_sequence())?;
    Ok(with_inputs.cast_into()?)
}

fn value_kind(kind: u8) -> PyResult<OutcomeKind> {
    match kind {
        0 => Ok(OutcomeKind::ValueList),
        1 => Ok(OutcomeKind::ValueTable),
        2 => Ok(OutcomeKind::ValueSingle),
        4 => Ok(OutcomeKind::Exception),
        5 => Ok(OutcomeKind::Cancelled),
        _ => Err(PyValueError::new_err(format!(
            "an executor does not report outcomes of kind {kind}"
        ))),
    }
}
