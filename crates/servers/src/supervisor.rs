//! Runs one server under a small shell script that outlives us just long enough to stop it.
//!
//! The script (`supervisor.sh`) holds the reading end of a pipe whose writing end is ours: when we stop the
//! server, leave it or die, `kill -9` included, the pipe tells it. It has a process group of its own, so a
//! Ctrl-C in the terminal reaches us and not the server that we are still using. Works wherever there is a
//! POSIX shell, unlike a parent-death signal, which is Linux's and follows a thread, not a process.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::Error;
use crate::data_dir::{DataDir, Log, POLL};

const SCRIPT: &str = include_str!("supervisor.sh");
/// Recovery after a crash replays the log; a development database does it in far less.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Longer than the steps of any orderly stop; then the supervisor itself is in trouble.
const STOPPED_WITHIN: Duration = Duration::from_mins(1);

/// How a server is started and stopped.
pub(crate) struct Launch {
    /// Its name in messages.
    pub(crate) server: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Signals of an orderly stop, each with the tenths of a second it is given: `"TERM:100 KILL:10"`.
    pub(crate) stop: &'static str,
    /// The port it will listen on, for the error when that is taken.
    pub(crate) port: u16,
    /// A file that the server leaves behind when it is killed and would stumble over. Removed once the last
    /// process of the previous server has gone, which is more than the server itself can know.
    pub(crate) stale: Option<PathBuf>,
}

/// A server that runs; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    server: &'static str,
    supervisor: Child,
    pid: Pid,
}

impl Running {
    /// Starts the server and waits until `ready` says so of the given process.
    pub(crate) fn start(
        data_dir: &DataDir,
        launch: &Launch,
        ready: impl Fn(Pid) -> bool,
    ) -> Result<Self, Error> {
        let log = data_dir.log()?;
        if let Some(stale) = launch.stale.as_ref().filter(|stale| stale.exists()) {
            fs::remove_file(stale).map_err(Error::io("remove", stale))?;
        }
        let mut running = Self::spawn(data_dir, launch, &log)?;
        let failed = |reason: String| {
            let log = log.tail();
            // PostgreSQL and Redis both pass the system's own words on.
            if log.contains("Address already in use") {
                return Error::PortInUse { server: launch.server, port: launch.port };
            }
            Error::NotStarted { server: launch.server, reason, log }
        };
        let give_up = Instant::now() + READY_WITHIN;
        while !ready(running.pid) {
            if let Some(status) = running.ended()? {
                return Err(failed(format!("ended while starting ({status})")));
            }
            if Instant::now() >= give_up {
                return Err(failed(format!("was not ready within {} s", READY_WITHIN.as_secs())));
            }
            thread::sleep(POLL);
        }
        Ok(running)
    }

    fn spawn(data_dir: &DataDir, launch: &Launch, log: &Log) -> Result<Self, Error> {
        let shell = Path::new("/bin/sh");
        let mut command = data_dir.command(shell);
        command.args(["-c", SCRIPT, "bulkhead-servers", launch.stop]).arg(&launch.program).args(&launch.args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.stdio()?).process_group(0);
        let mut supervisor = command.spawn().map_err(Error::io("run", shell))?;
        let mut line = String::new();
        if let Some(stdout) = supervisor.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Error::io("hear from", shell))?;
        }
        if let Ok(pid) = line.trim().parse() {
            return Ok(Self { server: launch.server, supervisor, pid: Pid::from_raw(pid) });
        }
        drop(supervisor.stdin.take());
        let status = supervisor.wait().map_err(Error::io("wait for", shell))?;
        let reason = format!("could not be supervised ({status})");
        Err(Error::NotStarted { server: launch.server, reason, log: log.tail() })
    }

    /// The server's own process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// How the server ended, when it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.supervisor.try_wait().map_err(Error::io("wait for", self.server))
    }

    /// Sends a signal to the server. `SIGKILL` goes to its children as well, and this returns when it is dead.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.ended()?.is_some() {
            return Err(Error::NotRunning(self.server));
        }
        let refused = |errno: nix::errno::Errno| Error::io("signal", self.server)(errno.into());
        if signal != Signal::SIGKILL {
            return kill(self.pid, signal).map_err(refused);
        }
        // A stopped process starts no further children between the listing and the kill.
        kill(self.pid, Signal::SIGSTOP).map_err(refused)?;
        let children = children(self.pid);
        kill(self.pid, signal).map_err(refused)?;
        for child in children {
            // A child that has already ended is no error: PostgreSQL's children end when their parent is gone.
            let _ = kill(child, signal);
        }
        self.wait_for_end()
    }

    /// Holds the server and its children still, or lets them go on: what a client sees of a host that has frozen.
    pub(crate) fn freeze(&mut self, is_frozen: bool) -> Result<(), Error> {
        let signal = if is_frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        let refused = |errno: nix::errno::Errno| Error::io("signal", self.server)(errno.into());
        // The parent first, so that it has no further children when it is held still.
        kill(self.pid, signal).map_err(refused)?;
        for child in children(self.pid) {
            // One that has just ended needs no signal.
            let _ = kill(child, signal);
        }
        Ok(())
    }

    /// Stops the server in order.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        if let Some(mut pipe) = self.supervisor.stdin.take() {
            // A supervisor that has ended does not listen; waiting for it is all there is to do.
            let _ = pipe.write_all(b"\n");
        }
        self.wait_for_end()
    }

    fn wait_for_end(&mut self) -> Result<(), Error> {
        let give_up = Instant::now() + STOPPED_WITHIN;
        while self.ended()?.is_none() {
            if Instant::now() >= give_up {
                // The supervisor leads the group that the server is in.
                let _ = killpg(Pid::from_raw(self.supervisor.id().cast_signed()), Signal::SIGKILL);
                self.supervisor.wait().map_err(Error::io("wait for", self.server))?;
                return Ok(());
            }
            thread::sleep(POLL / 2);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error has no caller to go to here. The supervisor stops the server without us if it has to.
        let _ = self.stop();
    }
}

/// The children of a process: from `/proc` on Linux, from `pgrep` elsewhere.
fn children(parent: Pid) -> Vec<Pid> {
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).or_else(|_| {
        let output = Command::new("pgrep").args(["-P", &parent.to_string()]).output()?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
    });
    let listed = listed.unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}
