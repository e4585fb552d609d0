//! The binding `scaler._core`: converts and nothing else. `scaler_py/scaler/_core.pyi` says what each name means.

mod bridges;
mod bytes;
mod channel;
mod codec;
mod descriptor;
mod dialed;
mod executor_port;
mod jobs;
mod loop_;
mod manager;
mod object_channel;
mod options;
mod plain;
mod process;
mod settings;
mod shared_bytes;
mod steps;
mod table;
mod tls;

use pyo3::prelude::*;
use scaler_loops::wire;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("PROTOCOL", wire::PROTOCOL)?;
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    add_constants(module)?;
    module.add_function(wrap_pyfunction!(bytes::blake3, module)?)?;
    module.add_function(wrap_pyfunction!(shared_bytes::share, module)?)?;
    module.add_function(wrap_pyfunction!(shared_bytes::share_from, module)?)?;
    module.add_function(wrap_pyfunction!(shared_bytes::forget_copies, module)?)?;
    module.add_function(wrap_pyfunction!(shared_bytes::own_name, module)?)?;
    module.add_function(wrap_pyfunction!(shared_bytes::fingerprint, module)?)?;
    module.add_function(wrap_pyfunction!(shared_bytes::same_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(codec::compress, module)?)?;
    module.add_function(wrap_pyfunction!(codec::decompress, module)?)?;
    module.add_function(wrap_pyfunction!(plain::is_plain, module)?)?;
    module.add_function(wrap_pyfunction!(table::pack_table, module)?)?;
    module.add_function(wrap_pyfunction!(table::table_ends, module)?)?;
    module.add_function(wrap_pyfunction!(process::end_with_parent, module)?)?;
    module.add_function(wrap_pyfunction!(process::adopt_orphans, module)?)?;
    module.add("TLS_ANSWER", scaler_tls::introduction::ANSWER)?;
    module.add("LEAST_SHARED", scaler_loops::mapped::LEAST)?;
    module.add_class::<shared_bytes::SharedBytes>()?;
    module.add_class::<shared_bytes::OwnView>()?;
    module.add_class::<options::Options>()?;
    module.add_class::<channel::Channel>()?;
    module.add_class::<object_channel::ObjectChannel>()?;
    module.add_class::<executor_port::ExecutorPort>()?;
    module.add_class::<loop_::Loop>()?;
    module.add_class::<bridges::RouterBridge>()?;
    module.add_class::<bridges::DealerBridge>()?;
    module.add_class::<steps::Steps>()?;
    module.add_function(wrap_pyfunction!(tls::tls_question, module)?)?;
    module.add_function(wrap_pyfunction!(tls::tls_introduction, module)?)?;
    module.add_function(wrap_pyfunction!(tls::tls_dial, module)?)?;
    module.add_class::<tls::TlsBridge>()?;
    module.add_class::<tls::TlsListener>()
}

fn add_constants(module: &Bound<'_, PyModule>) -> PyResult<()> {
    use wire::{CallStyle, Form, OutcomeKind};
    for (name, value) in [
        ("FORM_LIST", Form::List as u8),
        ("FORM_TABLE", Form::Table as u8),
        ("FORM_SINGLE", Form::Single as u8),
        ("FORM_REFERENCE", Form::Reference as u8),
        ("STYLE_FULL", CallStyle::Full as u8),
        ("STYLE_ONE", CallStyle::One as u8),
        ("STYLE_STAR", CallStyle::Star as u8),
        ("OUTCOME_EXCEPTION", OutcomeKind::Exception as u8),
        ("OUTCOME_CANCELLED", OutcomeKind::Cancelled as u8),
        ("OUTCOME_FAILURE", OutcomeKind::Failure as u8),
    ] {
        module.add(name, value)?;
    }
    for (name, value) in dialed::EVENTS {
        module.add(name, value)?;
    }
    Ok(())
}
