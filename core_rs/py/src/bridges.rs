//! `RouterBridge` and `DealerBridge`.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyLookupError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use scaler_loops::libzmq::{Library, Socket};
use scaler_loops::linux::Bell;
use scaler_loops::remote_dealer;
use scaler_loops::remote_router::{self, News, RouterPort, RouterSettings};
use scaler_loops::wire::Codec;

#[pyclass(frozen, module = "scaler._core")]
pub struct RouterBridge {
    inner: Mutex<Option<remote_router::RouterBridge>>,
    port: RouterPort,
}

#[pymethods]
impl RouterBridge {
    #[new]
    #[pyo3(signature = (module, router, monitor, *, port, codec, most_peers, most_silent))]
    fn new(
        module: PathBuf,
        router: usize,
        monitor: usize,
        port: u16,
        codec: &str,
        most_peers: usize,
        most_silent: usize,
    ) -> PyResult<Self> {
        let settings = RouterSettings {
            codec: codec_of(codec)?,
            port,
            most_peers,
            most_silent,
        };
        let [router, monitor] = sockets(&module, [router, monitor])?;
        let port = RouterPort::new()?;
        let inner = remote_router::RouterBridge::new(router, monitor, settings, &port)?;
        Ok(RouterBridge {
            inner: Mutex::new(Some(inner)),
            port,
        })
    }

    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let inner = taken(&self.inner)?;
        Ok(py.detach(|| self.port.run(inner))?)
    }

    fn stop(&self) {
        self.port.stop();
    }

    fn fileno(&self) -> RawFd {
        self.port.told().as_raw_fd()
    }

    #[getter]
    fn full(&self) -> bool {
        self.port.is_full()
    }

    fn news<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyTuple>>>> {
        let news = self.port.take_news();
        news.map(|news| news.into_iter().map(|one| tuple(py, one)).collect())
            .transpose()
    }
}

#[pyclass(frozen, module = "scaler._core")]
pub struct DealerBridge {
    inner: Mutex<Option<remote_dealer::DealerBridge>>,
    other: Mutex<Option<OwnedFd>>,
    stop: Bell,
}

#[pymethods]
impl DealerBridge {
    #[new]
    #[pyo3(signature = (module, dealer, monitor, *, host, codec))]
    fn new(
        module: PathBuf,
        dealer: usize,
        monitor: usize,
        host: &str,
        codec: &str,
    ) -> PyResult<Self> {
        let codec = codec_of(codec)?;
        let [dealer, monitor] = sockets(&module, [dealer, monitor])?;
        let (inner, other) = remote_dealer::DealerBridge::new(dealer, monitor, host, codec)?;
        Ok(DealerBridge {
            inner: Mutex::new(Some(inner)),
            other: Mutex::new(Some(other)),
            stop: Bell::new()?,
        })
    }

    fn take(&self) -> PyResult<RawFd> {
        Ok(taken(&self.other)?.into_raw_fd())
    }

    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let inner = taken(&self.inner)?;
        Ok(py.detach(|| inner.run(&self.stop))?)
    }

    fn stop(&self) {
        self.stop.ring();
    }
}

fn taken<T>(from: &Mutex<Option<T>>) -> PyResult<T> {
    let taken = from.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.ok_or_else(|| PyRuntimeError::new_err("a bridge is used once"))
}

fn codec_of(name: &str) -> PyResult<Codec> {
    let unknown = || PyValueError::new_err(format!("codec {name:?}: one of auto, off, lz4, zstd"));
    Codec::from_name(name).ok_or_else(unknown)
}

fn sockets(module: &Path, addresses: [usize; 2]) -> PyResult<[Socket; 2]> {
    let library = Library::loaded_by(module);
    let library = library.map_err(|error| PyLookupError::new_err(error.to_string()))?;
    let socket = |address| {
        // SAFETY: by the contract of the calls that end here, an open socket of pyzmq's that is closed after the bridge
        // has ended, and that nobody else uses while the bridge does.
        let socket = unsafe { Socket::new(library, address) };
        socket.ok_or_else(|| PyValueError::new_err("no socket"))
    };
    let [one, other] = addresses;
    Ok([socket(one)?, socket(other)?])
}

fn tuple(py: Python<'_>, news: News) -> PyResult<Bound<'_, PyTuple>> {
    match news {
        News::Peer(end, host) => ("peer", end.into_raw_fd(), host).into_pyobject(py),
        News::Warning(text) => ("warning", text).into_pyobject(py),
        News::Strangers(count) => ("strangers", count).into_pyobject(py),
    }
}
