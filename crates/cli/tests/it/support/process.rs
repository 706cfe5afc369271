//! The `bulkhead` command as a child process.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bulkhead_servers::Scratch;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Variables of one process; nothing else of the environment reaches it.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

fn command(arguments: &[&str], variables: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
    command.args(arguments).env_clear().envs(variables.iter().map(|(name, value)| (*name, value)));
    command
}

/// Runs `bulkhead dev` in a directory of its own until it refuses to. One that starts instead is stopped.
pub(crate) fn dev(variables: &[(&'static str, String)]) -> Finished {
    let (start, home) = (Instant::now(), Scratch::new().unwrap());
    let mut command = command(&["dev"], variables);
    command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    finished(start, child)
}

/// How long a refusal may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn finished(start: Instant, child: Child) -> Finished {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished {
        success: output.status.success(),
        out: text(&output.stdout),
        err: text(&output.stderr),
        took: start.elapsed(),
    }
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn bulkhead(arguments: &[&str], variables: &[(&'static str, String)], input: &str) -> Finished {
    let start = Instant::now();
    let mut command = command(arguments, variables);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that ends without reading breaks the pipe; that is its answer's business.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    finished(start, child)
}

/// A process that serves until it is dropped. It holds a pipe of ours as its standard input and stops when that ends,
/// so it does not outlive the tests however they end.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    pub(crate) fn start(name: &str, variables: &[(&'static str, String)], logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let mut command = command(&[name, "--stop-with-stdin"], variables);
        let child =
            command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    /// Ends it without a word of warning; everything it has logged.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// How much memory it has resident now, in bytes.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// How many threads of this name it has now.
    pub(crate) fn threads(&self, name: &str) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten();
        // One may end before its name is read.
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|of| of.trim() == name).count()
    }

    /// Asks it to stop, as an orchestrator does, and waits until it has.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Fails when the process has ended.
    pub(crate) fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("it has ended ({status}):\n{}", self.log());
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            // A process that is gone by now needs no signal.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _status = self.child.wait();
    }
}
