//! How full this machine's memory is, or that of the control group this process lives in.

use std::fs;
use std::path::{Path, PathBuf};

/// Above this part of it an executor has to go.
const PRESSURE: f64 = 0.95;

/// Looks at `/proc` and the control group.
pub struct Memory {
    group: Option<PathBuf>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { group: own_group() }
    }
}

impl Memory {
    /// Bytes that this process and all others of its control group may have.
    pub fn total(&self) -> Option<u64> {
        let machine = total_of_machine(&fs::read_to_string("/proc/meminfo").ok()?);
        let limit = |folder: &PathBuf| fs::read_to_string(folder.join("memory.max")).ok();
        let group = self.group.as_ref().and_then(limit);
        let group = group.and_then(|text| text.trim().parse().ok());
        [machine, group].into_iter().flatten().min()
    }

    pub fn is_short(&self) -> bool {
        machine_share().is_some_and(|share| share > PRESSURE)
            || self
                .group
                .as_deref()
                .and_then(group_share)
                .is_some_and(|share| share > PRESSURE)
    }
}

fn machine_share() -> Option<f64> {
    share_of_machine(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn total_of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}

fn share_of_machine(meminfo: &str) -> Option<f64> {
    let value = |name: &str| -> Option<f64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    Some(1.0 - value("MemAvailable")? / value("MemTotal")?)
}

/// The folder of our control group (version 2), if it has a limit.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = PathBuf::from("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    fs::read_to_string(folder.join("memory.max"))
        .ok()?
        .trim()
        .parse::<u64>()
        .ok()?;
    Some(folder)
}

fn group_share(folder: &Path) -> Option<f64> {
    let number = |name: &str| {
        fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse::<f64>()
            .ok()
    };
    // What the kernel can drop at any time does not count.
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cache = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file ")?.parse::<f64>().ok());
    Some((number("memory.current")? - cache.unwrap_or(0.0)) / number("memory.max")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_as_full_as_it_says() {
        let text = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    40 kB\n";
        assert_eq!(share_of_machine(text), Some(0.96));
        assert_eq!(share_of_machine("MemTotal: 1000 kB\n"), None);
        assert_eq!(total_of_machine(text), Some(1_024_000));
    }

    #[test]
    fn this_machine_can_be_asked() {
        assert!(machine_share().is_some_and(|share| (0.0..=1.0).contains(&share)));
    }
}
