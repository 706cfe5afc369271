//! Processor time, which a busy neighbour disturbs far less than time on the wall.

use std::fs;

use anyhow::Result;

use crate::tools::Load;

/// Microseconds of a processor that servers have used so far.
///
/// From `/proc` (Linux only; elsewhere 0): these processes, their children, and the children that have ended, so a server
/// that forks for each connection is whole.
fn used(servers: &[u32]) -> f64 {
    let micros = processes().filter(|process| process.is_of(servers)).map(|process| {
        // utime, stime, and those of ended children, in ticks.
        let ticks: u64 =
            process.fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
        ticks as f64 * MICROS_PER_TICK
    });
    micros.sum()
}

/// A run, and the microseconds of processor time that each of its requests cost the servers.
pub(crate) fn costed(servers: &[u32], run: impl FnOnce() -> Result<Load>) -> Result<(Load, f64)> {
    let before = used(servers);
    let load = run()?;
    Ok((load, (used(servers) - before) / load.requests))
}

/// A process as `/proc/PID/stat` shows it.
struct Process {
    pid: u32,
    /// What comes after the command's name in brackets: the state, the parent, …
    fields: Vec<String>,
}

impl Process {
    fn is_of(&self, servers: &[u32]) -> bool {
        let parent = self.fields.get(1).and_then(|parent| parent.parse().ok());
        servers.contains(&self.pid) || parent.is_some_and(|parent| servers.contains(&parent))
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid)).unwrap_or_default()
    }
}

fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields = stat.rsplit_once(") ")?.1.split(' ').map(ToOwned::to_owned).collect();
        Some(Process { pid, fields })
    })
}

/// `USER_HZ` is 100 on every Linux that matters.
const MICROS_PER_TICK: f64 = 10_000.0;

/// Megabytes of memory that a process has to itself and shares, as `VmRSS` says.
pub(crate) fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "VmRSS:")
}

/// Megabytes that a server's processes have written to and share with no other process (`RssAnon`), counted over the
/// processes whose command line begins with `name`.
pub(crate) fn anonymous_mb(server: u32, name: &str) -> f64 {
    let ours =
        processes().filter(|process| process.is_of(&[server]) && process.file("cmdline").starts_with(name));
    ours.map(|process| field(&process.file("status"), "RssAnon:")).sum()
}

fn field(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
