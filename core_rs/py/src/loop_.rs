//! `Loop`.

use std::os::fd::RawFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use scaler_loops::engine::manager::Answer;
use scaler_loops::linux::Child;
use scaler_loops::reactor::{Reactor, Settings};
use scaler_loops::shared::{Listening, Order, Outward, Request, Shared};

use crate::bytes::Borrowed;
use crate::descriptor::owned;
use crate::jobs::{self, PlainOutcome};
use crate::manager::{self, PlainUnit};
use crate::settings;

/// How long signals may wait while a host waits for a request.
const SIGNAL_PERIOD: Duration = Duration::from_millis(150);

#[pyclass(frozen, module = "scaler._core")]
pub struct Loop {
    reactor: Mutex<Option<Reactor>>,
    shared: Arc<Shared>,
    has_scheduler: bool,
    has_node: bool,
    has_store: bool,
    has_manager: bool,
}

#[pymethods]
impl Loop {
    #[new]
    #[pyo3(signature = (*, scheduler=None, node=None, store=None, manager=None))]
    fn new(
        scheduler: Option<&Bound<'_, PyDict>>,
        node: Option<&Bound<'_, PyDict>>,
        store: Option<&Bound<'_, PyDict>>,
        manager: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let settings = Settings {
            scheduler: scheduler.map(settings::scheduler).transpose()?,
            node: node.map(settings::node).transpose()?,
            store: store.map(settings::store).transpose()?,
            manager: manager.map(settings::manager).transpose()?,
        };
        let (has_scheduler, has_node, has_store, has_manager) = (
            settings.scheduler.is_some(),
            settings.node.is_some(),
            settings.store.is_some(),
            settings.manager.is_some(),
        );
        let offloads = settings
            .manager
            .as_ref()
            .is_some_and(|it| it.offload.is_some());
        if offloads != settings.node.as_ref().is_some_and(|it| it.config.offload) {
            let text = "jobs want a worker manager, and a node that offloads";
            return Err(PyValueError::new_err(text));
        }
        let others = has_scheduler || has_store || (has_node && !offloads);
        if !(others || has_manager) {
            return Err(PyValueError::new_err("a loop without parts"));
        }
        if others && has_manager {
            let text = "a worker manager has a loop of its own";
            return Err(PyValueError::new_err(text));
        }
        let reactor = Reactor::new(settings)?;
        let shared = Arc::clone(reactor.shared());
        Ok(Loop {
            reactor: Mutex::new(Some(reactor)),
            shared,
            has_scheduler,
            has_node,
            has_store,
            has_manager,
        })
    }

    fn listen(&self, part: &str, fd: RawFd) -> PyResult<()> {
        let socket = owned(fd)?;
        self.tell(Order::Listen {
            part: self.listening(part)?,
            socket,
        })
    }

    fn adopt(&self, part: &str, fd: RawFd, address: String) -> PyResult<()> {
        let socket = owned(fd)?;
        self.tell(Order::Adopt {
            part: self.listening(part)?,
            socket,
            address,
        })
    }

    fn attach(&self, link: &str, fd: RawFd) -> PyResult<()> {
        let socket = owned(fd)?;
        let link = match link {
            "scheduler" if self.has_manager => Outward::Scheduler,
            "scheduler" if self.has_node && !self.has_scheduler => Outward::Scheduler,
            "store" if self.has_node || self.has_scheduler => Outward::Store,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "this loop has no link {link:?}"
                )))
            }
        };
        self.tell(Order::Attach { link, socket })
    }

    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let reactor = self
            .reactor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let reactor = reactor.ok_or_else(|| PyRuntimeError::new_err("a loop runs once"))?;
        match py.detach(|| catch_unwind(AssertUnwindSafe(|| reactor.run()))) {
            Ok(ended) => Ok(ended?),
            Err(panic) => Err(PyRuntimeError::new_err(format!(
                "the loop failed: {}",
                panic_text(&*panic)
            ))),
        }
    }

    #[getter]
    fn node_link(&self) -> u64 {
        self.shared.node_link()
    }

    fn stop(&self) -> PyResult<()> {
        self.tell(Order::Stop)
    }

    fn drain(&self) -> PyResult<()> {
        self.need_node()?;
        self.tell(Order::Drain)
    }

    #[pyo3(signature = (timeout))]
    fn next_request<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let end = timeout
            .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
        loop {
            let left = end.map_or(SIGNAL_PERIOD, |end| {
                end.saturating_duration_since(Instant::now())
            });
            let (request, over) = py.detach(|| self.shared.next_request(left.min(SIGNAL_PERIOD)));
            if let Some(request) = request {
                return request_tuple(py, request).map(Some);
            }
            py.check_signals()?;
            if over || left.is_zero() {
                return Ok(None);
            }
        }
    }

    fn executor_started(&self, slot: u32, pid: u32, fd: RawFd, line_fd: RawFd) -> PyResult<()> {
        let (socket, line) = (owned(fd)?, owned(line_fd)?);
        self.need_node()?;
        let child = Child::open(pid)?;
        self.tell(Order::ExecutorStarted {
            slot,
            child,
            socket,
            line,
        })
    }

    fn executor_failed(&self, slot: u32, error: String) -> PyResult<()> {
        self.need_node()?;
        self.tell(Order::ExecutorFailed { slot, error })
    }

    fn output(
        &self,
        session: u64,
        lines: u32,
        dropped: u64,
        payload: Borrowed<'_>,
    ) -> PyResult<()> {
        self.need_node()?;
        self.tell(Order::Output {
            session,
            lines,
            dropped,
            payload: payload.to_bytes(),
        })
    }

    fn manager_recorded(&self, number: u64) -> PyResult<()> {
        self.need_manager()?;
        self.tell(Order::ManagerRecorded { number })
    }

    fn manager_units(&self, call: u64, units: Vec<PlainUnit>) -> PyResult<()> {
        self.manager_answered(call, manager::units(units)?)
    }

    fn manager_done(&self, call: u64) -> PyResult<()> {
        self.manager_answered(call, Answer::Done)
    }

    #[pyo3(signature = (call, kind, text, retry_after=None))]
    fn manager_failed(
        &self,
        call: u64,
        kind: &str,
        text: String,
        retry_after: Option<f64>,
    ) -> PyResult<()> {
        self.manager_answered(call, manager::failure(kind, text, retry_after)?)
    }

    fn manager_leave(&self) -> PyResult<()> {
        self.need_manager()?;
        self.tell(Order::ManagerLeave)
    }

    fn jobs_collected(&self, call: u64, outcomes: Vec<PlainOutcome<'_>>) -> PyResult<()> {
        self.need_manager()?;
        let outcomes: PyResult<Vec<_>> = outcomes.into_iter().map(jobs::outcome).collect();
        self.tell(Order::JobsCollected {
            call,
            outcomes: outcomes?,
        })
    }

    #[pyo3(signature = (call, text, retry_after=0.0))]
    fn jobs_not_collected(&self, call: u64, text: String, retry_after: f64) -> PyResult<()> {
        self.need_manager()?;
        self.tell(Order::JobsNotCollected {
            call,
            text,
            retry_after_us: (retry_after.max(0.0) * 1e6) as u64,
        })
    }

    fn positions(&self) -> Vec<(u32, u32, u64, u64)> {
        let running = self.shared.positions().into_iter();
        running
            .map(|one| (one.slot, one.pid, one.session, one.sequence))
            .collect()
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.shared.counters();
        let status = PyDict::new(py);
        for (name, value) in [
            ("turns", counters.turns),
            ("frames_in", counters.frames_in),
            ("frames_out", counters.frames_out),
            ("connections", counters.connections),
            ("executors", counters.executors),
        ] {
            status.set_item(name, value)?;
        }
        Ok(status)
    }
}

impl Loop {
    fn tell(&self, order: Order) -> PyResult<()> {
        Ok(self.shared.tell(order)?)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn listening(&self, part: &str) -> PyResult<Listening> {
        match part {
            "scheduler" if self.has_scheduler => Ok(Listening::Scheduler),
            "store" if self.has_store => Ok(Listening::Store),
            _ => Err(PyValueError::new_err(format!(
                "no part {part:?} listens in this loop"
            ))),
        }
    }

    fn manager_answered(&self, call: u64, answer: Answer) -> PyResult<()> {
        self.need_manager()?;
        self.tell(Order::ManagerAnswered { call, answer })
    }

    fn need_manager(&self) -> PyResult<()> {
        let none = || PyValueError::new_err("there is no worker manager in this loop");
        self.has_manager.then_some(()).ok_or_else(none)
    }

    fn need_node(&self) -> PyResult<()> {
        let none = || PyValueError::new_err("there is no node in this loop");
        self.has_node.then_some(()).ok_or_else(none)
    }
}

fn request_tuple(py: Python<'_>, request: Request) -> PyResult<Bound<'_, PyTuple>> {
    match request {
        Request::StartExecutor { slot } => ("start_executor", slot).into_pyobject(py),
        Request::Connect { link, attempt } => ("connect", link.name(), attempt).into_pyobject(py),
        Request::Listen { session, on } => ("listen", session, on).into_pyobject(py),
        Request::Log { level, text } => ("log", level, text).into_pyobject(py),
        Request::Exit { reason } => ("exit", reason).into_pyobject(py),
        Request::Record { number, entries } => manager::record_tuple(py, number, entries),
        Request::Call { id, call } => manager::call_tuple(py, id, call),
        Request::Job { id, parts } => jobs::job_tuple(py, id, *parts),
        Request::ForgetJob { id } => ("forget_job", id).into_pyobject(py),
        Request::JobObject { key, parts } => jobs::object_tuple(py, key, parts),
        Request::ForgetJobObject { key } => jobs::forget_object_tuple(py, key),
        Request::Collect { call, ids } => ("collect", call, ids).into_pyobject(py),
        Request::Restart { reason } => ("restart", reason).into_pyobject(py),
        Request::ManagerExit { failed, reason } => ("exit", failed, reason).into_pyobject(py),
        Request::Refused { link, code, text } => {
            ("refused", link.name(), code as u8, text).into_pyobject(py)
        }
        Request::Welcome {
            link,
            cluster,
            storage,
        } => ("welcome", link.name(), cluster, storage).into_pyobject(py),
        Request::Ticket { ticket } => {
            ("ticket", pyo3::types::PyBytes::new(py, &ticket)).into_pyobject(py)
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no text",
    }
}
