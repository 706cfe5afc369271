//! The product's processes: started with settings, ended when dropped.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bulkhead_servers::Scratch;

/// A program to serve with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    pub(crate) path: &'a Path,
    /// The step that it leaves out, if any.
    pub(crate) without: &'a str,
    /// What it logs.
    pub(crate) log: &'a str,
}

/// An API that serves; ended when dropped.
pub(crate) struct Api {
    pub(super) service: Service,
    pub(super) port: u16,
}

impl Api {
    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.service.child.id()
    }
}

/// A process of the product; ended when dropped.
pub(super) struct Service {
    child: Child,
}

impl Service {
    pub(super) fn start(
        program: &Path,
        name: &'static str,
        variables: &[(&'static str, String)],
        scratch: &Scratch,
    ) -> Result<Self> {
        let log = fs::File::create(scratch.path().join(format!("{name}.log")))?;
        let child = Command::new(program)
            .args([name, "--stop-with-stdin"])
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting bulkhead {name}"))?;
        Ok(Self { child })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The `bulkhead` that was built with this program, and as it was: figures of a debug build say nothing, which is why only
/// `--quick` may be run with one.
pub(crate) fn binary() -> Result<PathBuf> {
    let binary = env::current_exe()?.with_file_name("bulkhead");
    if !binary.exists() {
        bail!("run `make bench`, which builds {} first", binary.display());
    }
    Ok(binary)
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
