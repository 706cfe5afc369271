//! `bulkhead dev`, which runs in a directory.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bulkhead_servers::Scratch;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{BINARY, Finished};

/// How long a refusal may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `bulkhead dev` in a directory of its own until it refuses to. One that starts instead is stopped.
pub(crate) fn dev(variables: &[(&'static str, String)]) -> Finished {
    let (start, home) = (Instant::now(), Scratch::new().unwrap());
    let mut command = Command::new(BINARY);
    command.arg("dev").env_clear().envs(variables.iter().map(|(name, value)| (*name, value)));
    command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    Finished::of(child)
}
