//! What the tests share: clients, certificates, and looking at processes from outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bulkhead_fixtures::CertificateAuthority;
use bulkhead_servers::{Binaries, Durability, Postgres, PostgresOptions, Tls};
use nix::sys::signal::kill;
use nix::unistd::Pid;

pub(crate) static BINARIES: LazyLock<Binaries> = LazyLock::new(|| Binaries::find().unwrap());

pub(crate) fn postgres(dir: impl AsRef<Path>) -> Postgres {
    Postgres::start(&BINARIES, test_only(dir)).unwrap()
}

pub(crate) fn test_only(dir: impl AsRef<Path>) -> PostgresOptions {
    PostgresOptions { durability: Durability::TestOnly, ..PostgresOptions::new(dir.as_ref()) }
}

/// Runs statements in `psql`; the rows, or what it complained about.
pub(crate) fn sql(url: &str, statements: &str) -> Result<String, String> {
    let mut psql = Command::new(BINARIES.postgres_dir.join("psql"));
    let output = psql.args(["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statements, url]).output();
    let output = output.unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Sends inline commands to Redis; one line of each answer, a bulk string's second.
pub(crate) fn redis(url: &str, commands: &[&str]) -> Vec<String> {
    let (password, rest) = url.strip_prefix("redis://default:").unwrap().split_once('@').unwrap();
    let mut stream = TcpStream::connect(rest.strip_suffix("/0").unwrap()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |command: &str| {
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let line = lines.next().unwrap().unwrap();
        let bulk = line.starts_with('$') && line != "$-1";
        if bulk { lines.next().unwrap().unwrap() } else { line }
    };
    assert_eq!(ask(&format!("AUTH {password}")), "+OK");
    commands.iter().map(|command| ask(command)).collect()
}

/// Waits until `met`, at most for so many seconds.
pub(crate) fn within(seconds: u64, met: impl Fn() -> bool) -> bool {
    let give_up = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < give_up {
        if met() {
            return true;
        }
        sleep(Duration::from_millis(20));
    }
    met()
}

/// Whether a process of this id is there.
pub(crate) fn alive(pid: u32) -> bool {
    kill(Pid::from_raw(pid.cast_signed()), None).is_ok_and(|()| !is_zombie(pid))
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// A certificate for 127.0.0.1 from an authority of its own.
pub(crate) fn certificate(dir: &Path) -> Tls {
    CertificateAuthority::new().unwrap().certify("127.0.0.1", dir).unwrap()
}
