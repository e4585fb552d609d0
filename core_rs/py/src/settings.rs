//! A loop's settings: plain dicts from the hosts to what the machines take (ARCHITECTURE.md, "Settings of a loop").

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use scaler_loops::engine::acceptor::{AcceptorSettings, TicketKey};
use scaler_loops::engine::jobs::JobsConfig;
use scaler_loops::engine::manager::{Entry, ManagerConfig};
use scaler_loops::engine::node::NodeConfig;
use scaler_loops::engine::scaling::{Rule, Scaling, ScalingConfig};
use scaler_loops::linux;
use scaler_loops::manager_part::ManagerSettings;
use scaler_loops::node_part::NodeSettings;
use scaler_loops::offload_part::OffloadSettings;
use scaler_loops::scheduler_part::{Allocate, SchedulerConfig, SchedulerSettings};
use scaler_loops::store_part::StoreSettings;
use scaler_loops::wire::{ManagerInfo, NodeInfo};

use crate::bytes::exactly;
use crate::manager::{self, PlainEntry};

const SCHEDULER: &[&str] = &[
    "incarnation",
    "ticket_key",
    "cluster",
    "storage",
    "client_timeout",
    "worker_timeout",
    "resync",
    "protected",
    "allocate",
    "scaling",
    "waterfall",
    "scale_down_cooldown",
    "manager_lease",
    "memory_limit",
    "max_attempts",
    "result_budget",
    "properties",
    "address",
];
const NODE: &[&str] = &[
    "name",
    "manager",
    "group",
    "slots",
    "capabilities",
    "python_minor",
    "queue_size",
    "ticket",
    "properties",
    "memory_limit",
    "task_timeout",
    "death_timeout",
    "drain_limit",
    "storage_timeout",
    "recycle",
    "grace",
    "most_waiting",
    "heartbeat",
    "offload",
];
const STORE: &[&str] = &[
    "incarnation",
    "ticket_key",
    "memory_limit",
    "directory",
    "writes_through",
    "disk_limit",
    "session_quota",
    "client_timeout",
    "worker_timeout",
    "properties",
];
const MANAGER: &[&str] = &[
    "id",
    "driver",
    "least_groups",
    "most_groups",
    "slots",
    "capabilities",
    "python_minor",
    "startup",
    "lease",
    "cooldown",
    "workers_address",
    "cleanup",
    "heartbeat",
    "deadline",
    "batch",
    "calls",
    "settle",
    "shutdown",
    "seed",
    "entries",
    "run",
    "adopt",
    "patience",
    "ticket",
    "properties",
];

/// A node says how it is with each: more often would keep both ends busy with that.
const SHORTEST_HEARTBEAT_US: u64 = 1_000;

/// How soon a job that does not run yet is looked at again.
const OFFLOAD_LOOK_US: u64 = 500_000;

/// Settings of one part, under its name in errors.
struct Part<'a, 'py> {
    name: &'static str,
    dict: &'a Bound<'py, PyDict>,
}

impl<'a, 'py> Part<'a, 'py> {
    fn new(name: &'static str, dict: &'a Bound<'py, PyDict>, known: &[&str]) -> PyResult<Self> {
        for key in dict.keys() {
            let key: String = key.extract()?;
            if !known.contains(&key.as_str()) {
                let nearest = known
                    .iter()
                    .min_by_key(|other| distance(&key, other))
                    .expect("each part has settings");
                let text = format!("{name} has no setting {key:?}; the nearest is {nearest:?}");
                return Err(PyValueError::new_err(text));
            }
        }
        Ok(Part { name, dict })
    }

    fn optional<T>(&self, key: &str) -> PyResult<Option<T>>
    where
        T: for<'b> FromPyObject<'b, 'py, Error: Into<PyErr>>,
    {
        let Some(value) = self.dict.get_item(key)?.filter(|value| !value.is_none()) else {
            return Ok(None);
        };
        let extracted: PyResult<T> = value.extract::<T>().map_err(Into::<PyErr>::into);
        let wrong =
            |error| PyTypeError::new_err(format!("setting {key:?} of {}: {error}", self.name));
        extracted.map(Some).map_err(wrong)
    }

    fn get<T>(&self, key: &str, default: T) -> PyResult<T>
    where
        T: for<'b> FromPyObject<'b, 'py, Error: Into<PyErr>>,
    {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// Seconds there, microseconds here.
    fn time(&self, key: &str, default: f64) -> PyResult<u64> {
        let seconds: f64 = self.get(key, default)?;
        if !(0.0..1e10).contains(&seconds) {
            return Err(PyValueError::new_err(format!(
                "setting {key:?} of {}: {seconds} seconds",
                self.name
            )));
        }
        Ok((seconds * 1e6) as u64)
    }

    /// `None` where the setting is not there, or is None.
    fn maybe_time(&self, key: &str) -> PyResult<Option<u64>> {
        let seconds: Option<f64> = self.optional(key)?;
        seconds.map(|seconds| self.time(key, seconds)).transpose()
    }

    fn key(&self, key: &str) -> PyResult<Option<TicketKey>> {
        let bytes: Option<Vec<u8>> = self.optional(key)?;
        bytes
            .map(|bytes| exactly(&bytes, &format!("setting {key:?} of {}", self.name)))
            .transpose()
    }

    /// A dict of text, in its order.
    fn properties(&self) -> PyResult<Vec<(String, String)>> {
        let Some(dict) = self
            .dict
            .get_item("properties")?
            .filter(|value| !value.is_none())
        else {
            return Ok(Vec::new());
        };
        let dict = dict.cast::<PyDict>()?;
        dict.iter()
            .map(|(key, value)| Ok((key.extract()?, value.extract()?)))
            .collect()
    }

    fn acceptor(&self) -> PyResult<AcceptorSettings> {
        Ok(AcceptorSettings {
            client_timeout_us: self.time("client_timeout", 60.0)?,
            worker_timeout_us: self.time("worker_timeout", 60.0)?,
            cluster: self.get("cluster", String::new())?,
            storage: self.get("storage", String::new())?,
            properties: self.properties()?,
            unix_offset_us: linux::unix_offset_us(),
            ..AcceptorSettings::default()
        })
    }
}

pub fn scheduler(dict: &Bound<'_, PyDict>) -> PyResult<SchedulerSettings> {
    let part = Part::new("scheduler", dict, SCHEDULER)?;
    Ok(SchedulerSettings {
        config: scheduler_config(&part)?,
        acceptor: part.acceptor()?,
        incarnation: part.get("incarnation", linux::random())?,
        ticket_key: part.key("ticket_key")?,
    })
}

fn scheduler_config(part: &Part<'_, '_>) -> PyResult<SchedulerConfig> {
    let defaults = SchedulerConfig::default();
    let allocate: String = part.get("allocate", "even_load".into())?;
    let allocate = match allocate.as_str() {
        "even_load" => Allocate::EvenLoad,
        "capability" => Allocate::Capability,
        other => {
            let text = format!(
                "setting \"allocate\" of scheduler: even_load or capability, not {other:?}"
            );
            return Err(PyValueError::new_err(text));
        }
    };
    Ok(SchedulerConfig {
        resync_us: part.time("resync", 5.0)?,
        protected: part.get("protected", false)?,
        allocate,
        memory_limit: part.get("memory_limit", 0)?,
        max_attempts: part.get("max_attempts", defaults.max_attempts)?,
        result_budget: part.get("result_budget", defaults.result_budget)?,
        address: part.get("address", defaults.address)?,
        manager_lease_us: part.time("manager_lease", defaults.manager_lease_us as f64 / 1e6)?,
        scaling: scaling(part, &defaults.scaling)?,
    })
}

fn scaling(part: &Part<'_, '_>, defaults: &ScalingConfig) -> PyResult<ScalingConfig> {
    let name: String = part.get("scaling", "no".into())?;
    let rules: Vec<(i64, String, Option<u32>)> = part.get("waterfall", Vec::new())?;
    let rules = rules.into_iter().map(|(priority, manager, cap)| Rule {
        priority,
        manager,
        cap,
    });
    let scaling = match name.as_str() {
        "no" => Scaling::No,
        "vanilla" => Scaling::Vanilla,
        "fixed_elastic" => Scaling::FixedElastic,
        "capability" => Scaling::Capability,
        "waterfall_v1" => Scaling::Waterfall(rules.collect()),
        other => {
            let known = "no, vanilla, fixed_elastic, capability or waterfall_v1";
            let text = format!("setting \"scaling\" of scheduler: {known}, not {other:?}");
            return Err(PyValueError::new_err(text));
        }
    };
    let cooldown = defaults.cooldown_us as f64 / 1e6;
    Ok(ScalingConfig {
        scaling,
        cooldown_us: part.time("scale_down_cooldown", cooldown)?,
    })
}

pub fn node(dict: &Bound<'_, PyDict>) -> PyResult<NodeSettings> {
    let part = Part::new("node", dict, NODE)?;
    let name: String = part.get("name", String::new())?;
    let slots: u32 = part.get("slots", 1)?;
    let mut capabilities: Vec<(String, i64)> = part.get("capabilities", Vec::new())?;
    capabilities.sort();
    let defaults = NodeConfig::default();
    let offload: bool = part.get("offload", false)?;
    let config = NodeConfig {
        name: name.clone(),
        slots,
        memory_limit: part.get("memory_limit", 0)?,
        task_timeout_us: part.time("task_timeout", 0.0)?,
        death_timeout_us: part.time("death_timeout", 300.0)?,
        drain_limit_us: part.time("drain_limit", 0.0)?,
        storage_timeout_us: part.time("storage_timeout", 60.0)?,
        recycle: part.get("recycle", 0)?,
        grace_us: part.time("grace", 3.0)?,
        heartbeat_us: part.time("heartbeat", 2.0)?.max(SHORTEST_HEARTBEAT_US),
        offload,
        look_us: if offload {
            OFFLOAD_LOOK_US
        } else {
            defaults.look_us
        },
        most_waiting: part.get("most_waiting", defaults.most_waiting)?,
        ..defaults
    };
    let info = NodeInfo {
        name,
        manager: part.get("manager", String::new())?,
        group: part.get("group", String::new())?,
        slots,
        capabilities,
        python_minor: part.get("python_minor", 0)?,
        queue_size: part.get("queue_size", 1_000)?,
        offload,
    };
    Ok(NodeSettings {
        config,
        info,
        ticket: part.get("ticket", Vec::new())?,
        properties: part.properties()?,
    })
}

pub fn store(dict: &Bound<'_, PyDict>) -> PyResult<StoreSettings> {
    let part = Part::new("store", dict, STORE)?;
    let directory: String = part.get("directory", String::new())?;
    let limit = |name| {
        let bytes: u64 = part.get(name, 0)?;
        PyResult::Ok((bytes > 0).then_some(bytes))
    };
    Ok(StoreSettings {
        memory_limit: part.get("memory_limit", u64::MAX)?,
        directory: (!directory.is_empty()).then(|| directory.into()),
        writes_through: part.get("writes_through", false)?,
        disk_limit: limit("disk_limit")?,
        session_quota: limit("session_quota")?,
        acceptor: part.acceptor()?,
        incarnation: part.get("incarnation", linux::random())?,
        ticket_key: part.key("ticket_key")?,
    })
}

pub fn manager(dict: &Bound<'_, PyDict>) -> PyResult<ManagerSettings> {
    let part = Part::new("manager", dict, MANAGER)?;
    let id: String = part.get("id", String::new())?;
    let driver: String = part.get("driver", String::new())?;
    let most_groups: u32 = part.get("most_groups", 1)?;
    let slots: u32 = part.get("slots", 1)?;
    let mut capabilities: Vec<(String, i64)> = part.get("capabilities", Vec::new())?;
    capabilities.sort();
    let lease_us = part.time("lease", 300.0)?;
    let config = ManagerConfig {
        cleanup: part.get("cleanup", String::new())?,
        most_groups,
        slots,
        heartbeat_us: part.time("heartbeat", 2.0)?.max(SHORTEST_HEARTBEAT_US),
        deadline_us: part.time("deadline", 60.0)?,
        batch: part.get("batch", 10)?,
        calls: part.get("calls", 4)?,
        settle_us: part.time("settle", 0.0)?,
        shutdown_us: part.time("shutdown", 120.0)?,
        lease_us,
        keeps_ended: part.optional::<u64>("run")?.is_some(),
        seed: part.get("seed", linux::random())?,
    };
    let info = ManagerInfo {
        id,
        driver,
        least_groups: part.get("least_groups", 0)?,
        most_groups,
        slots,
        capabilities,
        python_minor: part.get("python_minor", 0)?,
        startup_us: part.time("startup", 300.0)?,
        lease_us,
        cooldown_us: part.maybe_time("cooldown")?,
        workers_address: part.get("workers_address", String::new())?,
    };
    let run: Option<u64> = part.optional("run")?;
    let patience_us = part.time("patience", 10.0)?;
    let adopt_us = part.time("adopt", 15.0)?;
    let offload = run.map(|run| OffloadSettings {
        jobs: JobsConfig {
            run,
            adopt_us,
            batch: config.batch,
            deadline_us: config.deadline_us,
        },
        patience_us,
    });
    let entries: Vec<PlainEntry> = part.get("entries", Vec::new())?;
    let entries: PyResult<Vec<Entry>> = entries.into_iter().map(manager::entry).collect();
    Ok(ManagerSettings {
        config,
        info,
        entries: entries?,
        offload,
        ticket: part.get("ticket", Vec::new())?,
        properties: part.properties()?,
    })
}

/// Levenshtein's.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, one) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (to, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(one != *other);
            diagonal = row[to + 1];
            row[to + 1] = replaced.min(diagonal + 1).min(row[to] + 1);
        }
    }
    row[right.len()]
}
