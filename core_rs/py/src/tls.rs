//! Links to object storage over TLS.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use scaler_loops::wire::Codec;
use scaler_tls::bridge::Bridge;
use scaler_tls::dial::{dial, DialError};
use scaler_tls::introduction::{question, Introduction};
use scaler_tls::listener::{Listener, Settings};
use scaler_tls::loop_host::LoopHost;

use crate::descriptor::owned;
use crate::loop_::Loop;

fn codec_of(name: &str) -> PyResult<Codec> {
    let unknown = || PyValueError::new_err(format!("codec {name:?}: one of auto, off, lz4, zstd"));
    Codec::from_name(name).ok_or_else(unknown)
}

fn seconds(time: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(time).map_err(|error| PyValueError::new_err(error.to_string()))
}

#[pyfunction]
pub fn tls_question() -> Vec<u8> {
    question().to_vec()
}

#[pyfunction]
pub fn tls_introduction(answer: &[u8]) -> Option<(u16, [u8; 32])> {
    Introduction::read(answer).map(|it| (it.port, it.pin))
}

#[pyfunction]
#[allow(clippy::too_many_arguments)] // of one call of Python's
pub fn tls_dial(
    py: Python<'_>,
    host: &str,
    port: u16,
    pin: [u8; 32],
    client_secret: [u8; 32],
    codec: &str,
    connect_timeout: f64,
    timeout: f64,
) -> PyResult<(TlsBridge, RawFd)> {
    let host: IpAddr = host
        .parse()
        .map_err(|_| PyValueError::new_err(format!("{host:?} is no numeric address")))?;
    let codec = codec_of(codec)?;
    let (connect_timeout, timeout) = (seconds(connect_timeout)?, seconds(timeout)?);
    let address = SocketAddr::new(host, port);
    let dialled = py.detach(|| {
        dial(
            address,
            &client_secret,
            &pin,
            codec,
            connect_timeout,
            timeout,
        )
    });
    match dialled {
        Ok((bridge, pair)) => Ok((TlsBridge(Mutex::new(bridge)), pair.into_raw_fd())),
        Err(DialError::Unreachable(error)) => Err(error.into()),
        Err(DialError::WrongKey) => Err(PyConnectionError::new_err("it has another key")),
        Err(DialError::Refused(text)) => Err(PyConnectionError::new_err(text)),
    }
}

#[pyclass(frozen, weakref, module = "scaler._core")]
pub struct TlsBridge(Mutex<Bridge>);

#[pymethods]
impl TlsBridge {
    #[getter]
    fn is_over(&self) -> bool {
        lock(&self.0).is_over()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let mut bridge = lock(&self.0);
            bridge.stop();
            bridge.join();
        });
    }
}

#[pyclass(frozen, module = "scaler._core")]
pub struct TlsListener(Mutex<Listener>);

#[pymethods]
impl TlsListener {
    #[new]
    #[pyo3(signature = (r#loop, part, fd, server_secret, client_secret, *, codec, most_peers))]
    #[allow(clippy::too_many_arguments)] // Python's keywords
    fn new(
        r#loop: &Loop,
        part: &str,
        fd: Option<RawFd>,
        server_secret: [u8; 32],
        client_secret: [u8; 32],
        codec: &str,
        most_peers: usize,
    ) -> PyResult<TlsListener> {
        let socket = fd.map(owned).transpose()?.map(TcpListener::from);
        let settings = Settings {
            codec: codec_of(codec)?,
            most_peers,
        };
        let host = LoopHost::new(r#loop.shared().clone(), r#loop.listening(part)?);
        let listener = Listener::start(socket, &server_secret, &client_secret, settings, host)?;
        Ok(TlsListener(Mutex::new(listener)))
    }

    #[getter]
    fn port(&self) -> u16 {
        lock(&self.0).port()
    }

    fn introduce(&self, fd: RawFd, host: String) -> PyResult<()> {
        Ok(lock(&self.0).introduce(owned(fd)?, host)?)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| lock(&self.0).stop());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
