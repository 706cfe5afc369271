//! Processor time, which a busy neighbour disturbs far less than time on the wall.

use std::fs;

/// Microseconds of a processor that processes have used so far, by the name they were started with.
///
/// From `/proc` (Linux only; elsewhere 0). Children that have ended are counted with their parents, so a server that
/// forks for each connection is whole.
pub(crate) fn used(is_counted: impl Fn(&str) -> bool) -> f64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0.0 };
    let micros = processes.flatten().filter_map(|process| {
        let path = process.path();
        let command = fs::read_to_string(path.join("cmdline")).ok()?;
        if !is_counted(&command) {
            return None;
        }
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        // After the command's name in brackets: state, then 11 fields, then utime, stime, cutime, cstime in ticks.
        let fields = stat.rsplit_once(") ")?.1;
        let ticks: u64 =
            fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(ticks as f64 * MICROS_PER_TICK)
    });
    micros.sum()
}

/// `USER_HZ` is 100 on every Linux that matters.
const MICROS_PER_TICK: f64 = 10_000.0;

/// Megabytes of memory that a process has to itself and shares, as `VmRSS` says.
pub(crate) fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "VmRSS:")
}

/// Megabytes that processes have written to and share with nobody (`RssAnon`), by how they call themselves.
pub(crate) fn anonymous_mb(is_counted: impl Fn(&str) -> bool) -> f64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0.0 };
    let each = processes.flatten().filter_map(|process| {
        let command = fs::read_to_string(process.path().join("cmdline")).ok()?;
        let status = fs::read_to_string(process.path().join("status")).ok()?;
        is_counted(&command).then(|| field(&status, "RssAnon:"))
    });
    each.sum()
}

fn field(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
