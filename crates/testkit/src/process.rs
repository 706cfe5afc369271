//! The program under test as child processes.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Variables of one process; nothing else of the environment reaches it.
pub type Variables = Vec<(&'static str, String)>;

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Whether it ended with 0.
    pub success: bool,
    /// What it wrote to its standard output.
    pub out: String,
    /// What it wrote to its standard error.
    pub err: String,
}

fn command(program: &str, arguments: &[&str], variables: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables.iter().map(|(name, value)| (*name, value)));
    command
}

impl Finished {
    /// Waits for the end of a command.
    #[doc(hidden)]
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs a command of the program to its end, with these variables alone and this on its standard input.
pub fn run(program: &str, arguments: &[&str], variables: &[(&'static str, String)], input: &str) -> Finished {
    let mut command = command(program, arguments, variables);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that ends without reading breaks the pipe; that is its answer's business.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    Finished::of(child)
}

/// A process that serves until it is dropped. It holds a pipe of ours as its standard input and stops when that ends,
/// so it does not outlive the tests however they end.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts the program's command of this name; its log goes to a file in the directory `logs`.
    pub fn start(program: &str, name: &str, variables: &[(&'static str, String)], logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let mut command = command(program, &[name, "--stop-with-stdin"], variables);
        let child =
            command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    /// Ends it without a word of warning; everything it has logged.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// How much memory it has resident now, in bytes.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// How many threads of this name it has now.
    pub fn threads(&self, name: &str) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten();
        // One may end before its name is read.
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|of| of.trim() == name).count()
    }

    /// Asks it to stop, as an orchestrator does, and waits until it has.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Fails when the process has ended.
    pub fn assert_alive(&mut self) {
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
