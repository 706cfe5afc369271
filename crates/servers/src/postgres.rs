//! A private PostgreSQL server on a loopback port.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt::Write, fs};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::data_dir::{DataDir, Password};
use crate::supervisor::{Launch, Running};
use crate::{Binaries, Error, Tls, port};

const SERVER: &str = "PostgreSQL";
/// Fast shutdown; when its checkpoint takes too long, immediate, which the next start recovers from.
const STOP: &str = "INT:300 QUIT:100 KILL:10";

/// What a killed machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is on the disk, as in production.
    Full,
    /// Nothing is forced to the disk: for servers that are thrown away. A killed server loses nothing all
    /// the same, for what it has written the kernel has.
    TestOnly,
}

/// How [`Postgres::start`] starts a server. Start from [`PostgresOptions::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The server's own directory, made when missing: data, password, log and configuration lie in it.
    pub dir: PathBuf,
    /// Whether commits survive a crash of the machine.
    pub durability: Durability,
    /// The port; a free one when `None`. A restart keeps it.
    pub port: Option<u16>,
    /// With these, connections without TLS are refused.
    pub tls: Option<Tls>,
    /// `max_connections`.
    pub max_connections: u32,
    /// Further settings as in `postgresql.conf`, name and value, the value not quoted. They win over ours,
    /// but for those that make the server private: addresses, port, sockets, access and TLS.
    pub settings: Vec<(String, String)>,
}

impl PostgresOptions {
    /// A durable server in `dir` on a free port: 100 connections, no TLS.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::Full,
            port: None,
            tls: None,
            max_connections: 100,
            settings: Vec::new(),
        }
    }
}

/// A private PostgreSQL server; stopped when dropped. Its superuser is `postgres`.
#[derive(Debug)]
pub struct Postgres {
    // Before `data_dir`, so that the server is stopped before its directory is let go.
    running: Option<Running>,
    data_dir: DataDir,
    options: PostgresOptions,
    program: PathBuf,
    password: Password,
    port: u16,
}

impl Postgres {
    /// Starts a server and returns when it accepts connections. Makes the data directory when it is missing.
    pub fn start(binaries: &Binaries, options: PostgresOptions) -> Result<Self, Error> {
        let data_dir = DataDir::open(&options.dir, &["postgres", "nobody"])?;
        let password = open_data(&data_dir, binaries, options.durability)?;
        if let Some(tls) = &options.tls {
            data_dir.copy_tls(tls)?;
        }
        let program = binaries.postgres_dir.join("postgres");
        let mut postgres = Self { running: None, data_dir, program, password, port: 0, options };
        port::choose(postgres.options.port, |port| {
            postgres.port = port;
            postgres.launch()
        })?;
        Ok(postgres)
    }

    fn launch(&mut self) -> Result<(), Error> {
        self.data_dir
            .write("postgresql.conf", configuration(&self.data_dir, &self.options, self.port)?.as_bytes())?;
        self.data_dir.write("pg_hba.conf", access(&self.options).as_bytes())?;
        let data = self.data_dir.data();
        let pid_file = data.join("postmaster.pid");
        let config_file = format!("config_file={}", self.data_dir.path("postgresql.conf").display());
        let launch = Launch {
            server: SERVER,
            program: self.program.clone(),
            args: ["-D".into(), data.into(), "-c".into(), config_file.into()].into(),
            stop: STOP,
            port: self.port,
            // Another process may have the process id in this file by now, and then PostgreSQL would not start.
            stale: Some(pid_file.clone()),
        };
        self.running = Some(Running::start(&self.data_dir, &launch, |pid| accepts(&pid_file, pid))?);
        Ok(())
    }

    /// The loopback port it listens on; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of `database` for the superuser, password included.
    pub fn superuser_url(&self, database: &str) -> String {
        let mut url = format!("postgres://postgres:{}@127.0.0.1:{}/", self.password.expose(), self.port);
        for byte in database.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                url.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
        if self.options.tls.is_some() {
            url.push_str("?sslmode=require");
        }
        url
    }

    /// Process id of the postmaster; `None` when it has been stopped.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    /// Sends a signal to the postmaster. `SIGKILL` reaches its children too, and this returns when they are dead.
    pub fn kill(&mut self, signal: Signal) -> Result<(), Error> {
        self.running.as_mut().ok_or(Error::NotRunning(SERVER))?.signal(signal)
    }

    /// Holds the postmaster and every backend still, as a host that has frozen does; a stopped postmaster alone leaves the
    /// backends answering. [`Self::thaw`] lets them go on.
    pub fn freeze(&mut self) -> Result<(), Error> {
        self.running.as_mut().ok_or(Error::NotRunning(SERVER))?.freeze(true)
    }

    /// Lets a frozen server go on.
    pub fn thaw(&mut self) -> Result<(), Error> {
        self.running.as_mut().ok_or(Error::NotRunning(SERVER))?.freeze(false)
    }

    /// Stops the server if it runs, waits for the last of its processes, and starts it again on its port.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        port::regain(|| self.launch())
    }

    /// Stops the server: connections are cut, what was committed is on the disk. [`Self::restart`] starts it again.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.running.take().map_or(Ok(()), |mut running| running.stop())
    }
}

/// Makes the data directory when there is none, and returns the superuser's password.
fn open_data(data_dir: &DataDir, binaries: &Binaries, durability: Durability) -> Result<Password, Error> {
    let data = data_dir.data();
    if let Ok(made_by) = fs::read_to_string(data.join("PG_VERSION")) {
        if made_by.trim() != binaries.postgres_major.to_string() {
            let made_by = made_by.trim().to_owned();
            return Err(Error::DataVersion { dir: data, made_by, server: binaries.postgres_major });
        }
        return data_dir.password().ok_or_else(|| Error::PasswordMissing { path: data_dir.path("password") });
    }
    let password = data_dir.new_password()?;
    // Under another name until it is whole: an initdb that was cut short leaves nothing to be mistaken for data.
    let unfinished = data_dir.path("data.new");
    let log = data_dir.log()?;
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
    }
    let mut initdb = initdb(data_dir, &binaries.postgres_dir, &unfinished, durability);
    let status = initdb.stdout(log.stdio()?).stderr(log.stdio()?).status();
    let status = status.map_err(Error::io("run", initdb.get_program()))?;
    if !status.success() {
        let reason = format!("could not make {} ({status})", data.display());
        return Err(Error::NotStarted { server: "initdb", reason, log: log.tail() });
    }
    fs::rename(&unfinished, &data).map_err(Error::io("rename", &unfinished))?;
    Ok(password)
}

/// The C locale sorts the same on every system; text is UTF-8 all the same.
fn initdb(data_dir: &DataDir, binaries: &Path, data: &Path, durability: Durability) -> Command {
    let mut command = data_dir.command(&binaries.join("initdb"));
    command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
    command.arg("--no-instructions").arg("--pwfile").arg(data_dir.path("password")).arg("--pgdata").arg(data);
    if durability == Durability::TestOnly {
        command.arg("--no-sync");
    }
    command
}

/// The whole `postgresql.conf`: later lines win, so the caller's settings stand between ours that may be
/// changed and ours that may not.
fn configuration(data_dir: &DataDir, options: &PostgresOptions, port: u16) -> Result<String, Error> {
    let max_connections = options.max_connections.to_string();
    let mut settings = vec![
        // A transaction of the migrations or of the schema pool locks every table of many tenants.
        ("max_locks_per_transaction", "256"),
        ("max_connections", &max_connections),
        ("shared_buffers", "128MB"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ];
    if options.durability == Durability::TestOnly {
        // Commits stay synchronous: an asynchronous one may be lost with a mere kill of the server.
        settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
    }
    settings.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let port = port.to_string();
    let hba_file = data_dir.path("pg_hba.conf").display().to_string();
    settings.extend([
        ("listen_addresses", "127.0.0.1"),
        ("port", &port),
        // None: their path has 107 bytes on Linux and 103 on macOS, which a clone's path may exceed.
        ("unix_socket_directories", ""),
        ("hba_file", &hba_file),
        ("logging_collector", "off"),
    ]);
    let tls = DataDir::TLS_FILES.map(|name| data_dir.path(name).display().to_string());
    if options.tls.is_some() {
        let names = ["ssl_cert_file", "ssl_key_file", "ssl_ca_file"];
        settings.push(("ssl", "on"));
        settings.extend(names.into_iter().zip(tls.iter().map(String::as_str)));
    } else {
        settings.push(("ssl", "off"));
    }
    settings.into_iter().map(|(name, value)| setting(name, value)).collect()
}

/// One line of `postgresql.conf`.
fn setting(name: &str, value: &str) -> Result<String, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if name.is_empty() || !name.chars().all(plain) || value.contains(['\n', '\r', '\0']) {
        return Err(Error::Setting(name.to_owned()));
    }
    Ok(format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")))
}

/// The whole `pg_hba.conf`: passwords over loopback, nothing else.
fn access(options: &PostgresOptions) -> String {
    let kind = if options.tls.is_some() { "hostssl" } else { "host" };
    format!("{kind} all all 127.0.0.1/32 scram-sha-256\n")
}

/// Whether the server accepts connections: it says so in the eighth line of its own pid file, which is
/// where `pg_ctl --wait` looks. A file that an earlier, killed server left has another process id.
fn accepts(pid_file: &Path, pid: Pid) -> bool {
    let Ok(text) = fs::read_to_string(pid_file) else { return false };
    let mut lines = text.lines().map(str::trim);
    lines.next() == Some(&pid.to_string()) && lines.nth(6) == Some("ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_quoted_and_cannot_add_lines() {
        assert_eq!(setting("work_mem", "8MB").ok().as_deref(), Some("work_mem = '8MB'\n"));
        let quoted = setting("cluster_name", r"it's a \ sign").ok();
        assert_eq!(quoted.as_deref(), Some("cluster_name = 'it''s a \\\\ sign'\n"));
        assert!(setting("work_mem", "8MB'\nfsync = 'off").is_err());
        assert!(setting("work mem", "8MB").is_err());
        assert!(setting("", "8MB").is_err());
    }
}
