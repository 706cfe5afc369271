//! A private Redis (or Valkey) server on a loopback port.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::data_dir::{DataDir, Password};
use crate::supervisor::{Launch, Running};
use crate::{Binaries, Error, Tls, port};

const SERVER: &str = "Redis";
const STOP: &str = "TERM:100 KILL:10";
/// An answer on loopback takes microseconds; one that takes this long is asked for again.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How [`Redis::start`] starts a server. Start from [`RedisOptions::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// The server's own directory, made when missing: data, password, log and configuration lie in it.
    pub dir: PathBuf,
    /// Whether every write goes to an append-only file. Without it a stopped server has forgotten everything.
    pub append_only: bool,
    /// The port; a free one when `None`. A restart keeps it.
    pub port: Option<u16>,
    /// With these, the server listens with TLS on a second, free port.
    pub tls: Option<Tls>,
}

impl RedisOptions {
    /// A server in `dir` on a free port, with an append-only file and without TLS.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), append_only: true, port: None, tls: None }
    }
}

/// A private Redis server; stopped when dropped. It never evicts a key.
#[derive(Debug)]
pub struct Redis {
    // Before `data_dir`, so that the server is stopped before its directory is let go.
    running: Option<Running>,
    data_dir: DataDir,
    options: RedisOptions,
    program: PathBuf,
    password: Password,
    port: u16,
    tls_port: Option<u16>,
}

impl Redis {
    /// Starts a server and returns when it has loaded its data and answers.
    pub fn start(binaries: &Binaries, options: RedisOptions) -> Result<Self, Error> {
        let data_dir = DataDir::open(&options.dir, &["redis", "valkey", "nobody"])?;
        data_dir.make_dir("data")?;
        let password = data_dir.password().map_or_else(|| data_dir.new_password(), Ok)?;
        if let Some(tls) = &options.tls {
            data_dir.copy_tls(tls)?;
        }
        let program = binaries.redis.clone();
        let mut redis = Self { running: None, data_dir, program, password, port: 0, tls_port: None, options };
        port::choose(redis.options.port, |port| {
            redis.port = port;
            redis.tls_port = redis.options.tls.as_ref().map(|_| port::free()).transpose()?;
            redis.launch()
        })?;
        Ok(redis)
    }

    fn launch(&mut self) -> Result<(), Error> {
        let configuration = self.data_dir.write("redis.conf", self.configuration().as_bytes())?;
        let launch = Launch {
            server: SERVER,
            program: self.program.clone(),
            args: vec![configuration.into()],
            stop: STOP,
            port: self.port,
            stale: None,
        };
        self.running = Some(Running::start(&self.data_dir, &launch, |_| answers(self.port, &self.password))?);
        Ok(())
    }

    /// The whole `redis.conf`. It is a file: every account on the machine could read arguments.
    fn configuration(&self) -> String {
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {}", self.port),
            format!("requirepass {}", self.password.expose()),
            format!("dir {}", quote(&self.data_dir.data())),
            "daemonize no".to_owned(),
            "maxmemory-policy noeviction".to_owned(),
            // Snapshots would keep some of the writes; the append-only file keeps all or none are kept.
            "save \"\"".to_owned(),
            format!("appendonly {}", if self.options.append_only { "yes" } else { "no" }),
        ];
        if let Some(port) = self.tls_port {
            lines.push(format!("tls-port {port}\ntls-auth-clients no"));
            let names = ["tls-cert-file", "tls-key-file", "tls-ca-cert-file"];
            for (name, file) in names.into_iter().zip(DataDir::TLS_FILES) {
                lines.push(format!("{name} {}", quote(&self.data_dir.path(file))));
            }
        }
        lines.join("\n") + "\n"
    }

    /// The loopback port without TLS; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the server, password included. It names the user `default`: without it `redis-cli -u` sends
    /// an empty name.
    pub fn url(&self) -> String {
        format!("redis://default:{}@127.0.0.1:{}/0", self.password.expose(), self.port)
    }

    /// The address of its TLS port, when it has one.
    pub fn tls_url(&self) -> Option<String> {
        self.tls_port.map(|port| format!("rediss://default:{}@127.0.0.1:{port}/0", self.password.expose()))
    }

    /// The server's process id; `None` when it has been stopped.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    /// Sends a signal to the server; after `SIGKILL` this returns when it is dead.
    pub fn kill(&mut self, signal: Signal) -> Result<(), Error> {
        self.running.as_mut().ok_or(Error::NotRunning(SERVER))?.signal(signal)
    }

    /// Stops the server if it runs and starts it again on its ports.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        port::regain(|| self.launch())
    }

    /// Stops the server. [`Self::restart`] starts it again.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.running.take().map_or(Ok(()), |mut running| running.stop())
    }
}

/// A path as `redis.conf` reads it.
fn quote(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether the server on `port` is ours and has loaded its data: until then it answers `-LOADING`.
fn answers(port: u16, password: &Password) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT)?;
        stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
        stream.set_write_timeout(Some(PROBE_TIMEOUT))?;
        stream.write_all(format!("AUTH {}\r\nPING\r\n", password.expose()).as_bytes())?;
        let mut lines = BufReader::new(stream).lines();
        let mut next = || lines.next().transpose().map(Option::unwrap_or_default);
        Ok(next()? == "+OK" && next()? == "+PONG")
    };
    ask().unwrap_or(false)
}
