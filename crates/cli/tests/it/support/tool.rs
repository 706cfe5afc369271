//! Identity providers of others, as programs beside the tests.

use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{BINARY, free_port};

/// A program that `.ci/setup --identity` installs, while it runs; gone when dropped.
pub(crate) struct Tool {
    process: Child,
    pub(crate) port: u16,
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _already_over = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Tool {
    /// Starts it with these arguments and a port of its own, and waits until it answers at `path`. `None` when it is not on this
    /// machine, which is said, and not required (`TEST_IDENTITY=required`, which `.ci/run` sets).
    #[expect(
        clippy::disallowed_methods,
        reason = "the test runner's own switch, not a setting of the product"
    )]
    pub(crate) async fn start(name: &str, arguments: &[&str], path: &str) -> Option<Self> {
        let target = Path::new(BINARY).ancestors().nth(2).unwrap();
        let program = target.join("identity-tools/bin").join(name);
        let port = free_port();
        let started = Command::new(&program)
            .args(arguments)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                let is_required = env::var("TEST_IDENTITY").is_ok_and(|value| value == "required");
                assert!(!is_required, "{}: {error}; run .ci/setup --identity", program.display());
                eprintln!(
                    "skipped: {name} ({}: {error}; .ci/setup --identity installs it)",
                    program.display()
                );
                return None;
            }
        };
        let tool = Self { process, port };
        for _ in 0..600 {
            if reqwest::get(tool.url(path)).await.is_ok() {
                return Some(tool);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} does not start");
    }

    /// An address of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
