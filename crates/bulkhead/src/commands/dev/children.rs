//! The API and the worker as child processes.

use std::{
    fs::{DirBuilder, File},
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::Addresses;

/// How long a child may take to finish after it was asked to.
const DRAIN: Duration = Duration::from_secs(25);
/// How long the API may take to be ready.
const START: Duration = Duration::from_mins(1);

/// Both of them; dropping kills what is left.
pub(crate) struct Children {
    running: Vec<(&'static str, Child, PathBuf)>,
    stop: Arc<AtomicBool>,
}

impl Children {
    /// Starts both, with their output in `.bulkhead/logs/`.
    pub(crate) fn start(home: &Path, addresses: &Addresses) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let logs = home.join("logs");
        DirBuilder::new().recursive(true).mode(0o700).create(&logs)?;
        let mut children = Self { running: Vec::new(), stop };
        let ports = [("api", addresses.metrics_port), ("worker", addresses.worker_metrics_port)];
        for (command, metrics_port) in ports {
            let log = logs.join(format!("{command}.log"));
            let output = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
            let child = Command::new(std::env::current_exe()?)
                // This process never writes to the pipe. The end of the pipe tells the child that this process is
                // gone, for whatever reason.
                .args([command, "--stop-with-stdin"])
                .stdin(Stdio::piped())
                .stdout(output.try_clone()?)
                .stderr(output)
                .envs(addresses.environment.iter().map(|(name, value)| (*name, value)))
                .env("BULKHEAD_METRICS_PORT", metrics_port.to_string())
                .spawn()
                .with_context(|| format!("starting bulkhead {command}"))?;
            children.running.push((command, child, log));
        }
        Ok(children)
    }

    /// Whether a signal has come.
    pub(crate) fn is_asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for the API's readiness probe, or for a signal.
    pub(crate) fn wait_until_ready(&mut self, port: u16) -> Result<()> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if self.is_asked_to_stop() {
                return Ok(());
            }
            if probe(port).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            for (name, child, log) in &mut self.running {
                if let Some(status) = child.try_wait()? {
                    bail!("bulkhead {name} stopped at once ({status}); its log says:\n{}", tail(log));
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("the API did not become ready; see .bulkhead/logs/")
    }

    /// Waits for a signal, or for a child to stop by itself; then stops the rest.
    pub(crate) fn supervise(mut self) -> Result<()> {
        let mut failed = None;
        while failed.is_none() && !self.is_asked_to_stop() {
            thread::sleep(Duration::from_millis(100));
            for (name, child, log) in &mut self.running {
                if let Some(status) = child.try_wait()? {
                    failed = Some(format!(
                        "bulkhead {name} stopped by itself ({status}); its log ends with:\n{}",
                        tail(log)
                    ));
                }
            }
        }
        self.stop_all();
        match failed {
            Some(message) if !self.is_asked_to_stop() => bail!(message),
            _ => Ok(()),
        }
    }

    fn stop_all(&mut self) {
        for (_, child, _) in &self.running {
            if let Ok(pid) = i32::try_from(child.id()) {
                // A child that has ended by itself cannot be signalled. The others are stopped all the same.
                let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let deadline = Instant::now() + DRAIN;
        for (_, child, _) in &mut self.running {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(20));
            }
            let _gone = child.kill();
            let _status = child.wait();
        }
        self.running.clear();
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop_all();
    }
}

/// One request to the readiness probe, by hand: a client library for this alone would be out of proportion.
fn probe(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}
