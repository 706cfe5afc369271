//! `bulkhead dev`: all of Bulkhead on one machine, from nothing.
//!
//! Starts a private PostgreSQL, a private Redis and a mail server that keeps what it gets under `.bulkhead/`, migrates, seeds an operator and two demo
//! tenants, runs `bulkhead api` and `bulkhead worker` as child processes and prints how to reach them. The data stays
//! for the next start. Refuses to touch any server that is already on the machine.

mod children;
mod credentials;
mod environment;
mod seed;
mod shell;
mod show;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use bulkhead_servers::{Binaries, MailCatcher, Postgres, PostgresOptions, Redis, RedisOptions};

use crate::app::Parts;

use self::{
    children::Children,
    credentials::Credentials,
    environment::{Choices, Servers, Wanted, environment},
};

pub(crate) use self::shell::settings;

/// Where everything lives, relative to the current directory.
const HOME: &str = ".bulkhead";
/// Where mails are kept, below it.
const MAIL: &str = "mail";
/// The database's name.
const DATABASE: &str = "bulkhead";

/// The addresses of a running development set.
pub(crate) struct Addresses {
    api_port: u16,
    metrics_port: u16,
    worker_metrics_port: u16,
    /// PostgreSQL, as its superuser.
    database: String,
    environment: Vec<(&'static str, String)>,
}

impl Addresses {
    fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    fn metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics_port)
    }
}

/// Runs everything until a signal or a failure ends it.
pub(crate) fn run(parts: &Parts) -> Result<()> {
    bulkhead_auth::self_test()?;
    let wanted = Wanted::read(&parts.sections)?;
    let home = home()?;
    let _here = take(&home)?;
    let choices = Choices::settle(&wanted)?;
    let credentials = Credentials::load_or_make(&home.join("credentials.json"))?;

    show::step("PostgreSQL and Redis");
    let binaries = Binaries::find()?;
    let mut postgres = Postgres::start(&binaries, PostgresOptions::new(home.join("postgres")))?;
    let mut redis =
        Redis::start(&binaries, RedisOptions { append_only: true, ..RedisOptions::new(home.join("redis")) })?;
    let mail = MailCatcher::start(home.join(MAIL), show::mail).context("the mail server")?;
    let servers = Servers {
        postgres_port: postgres.port(),
        superuser_url: postgres.superuser_url(DATABASE),
        redis_url: redis.url(),
        smtp_url: mail.url(),
    };
    let addresses = Addresses {
        api_port: choices.api_port,
        metrics_port: choices.metrics_port,
        worker_metrics_port: free(0)?,
        database: servers.superuser_url.clone(),
        environment: environment(&credentials, &servers, &choices),
    };

    show::step("migrations and demo data");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(seed::run(parts, &addresses.environment, &credentials))?;
    drop(runtime);

    show::step("API and worker");
    let mut children = Children::start(&home, &addresses)?;
    children.wait_until_ready(choices.api_port)?;
    if !children.is_asked_to_stop() {
        credentials::keep(&home.join("dev.json"), &show::facts(&addresses, &credentials)?)?;
        shell::write(&home, &addresses.environment)?;
        show::table(&addresses, &credentials, parts.list())?;
    }
    let outcome = children.supervise();

    show::step("stopping");
    shell::remove(&home)?;
    redis.stop()?;
    postgres.stop()?;
    outcome
}

/// `.bulkhead/`, readable by its owner alone: it holds passwords. When the servers run under another account they get
/// through it, but cannot list it.
fn home() -> Result<PathBuf> {
    let home = std::env::current_dir()?.join(HOME);
    fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
    restrict(&home, if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 })?;
    Ok(home)
}

fn restrict(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("restricting {}", path.display()))
}

/// Takes the directory for this process until it ends, however that happens. A second `dev` would find one thing after
/// the other taken: ports, servers, data.
fn take(home: &Path) -> Result<File> {
    let path = home.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "already running here, as process {}: {HOME}/dev.json says where; Ctrl-C stops it where it was started",
                owner.trim()
            )
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    // Only for the message above: the lock is what counts.
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()))?;
    Ok(file)
}

/// The port, if no process listens on it. For port 0, one that the system chooses.
fn free(port: u16) -> Result<u16> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => Ok(listener.local_addr()?.port()),
        Err(error) => bail!(error),
    }
}
