//! `bulkhead dev` as a newcomer meets it: the table, the lines to paste, the README's tour, and the end.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use bulkhead_servers::Scratch;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::free_port;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(90);

struct Dev {
    child: Child,
    /// What it printed up to the last line to paste.
    table: String,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Dev {
    fn start(home: &Path, port: u16, metrics_port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command
            .arg("dev")
            .current_dir(home)
            .env("BULKHEAD_PORT", port.to_string())
            .env("BULKHEAD_METRICS_PORT", metrics_port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut dev = Self { child: command.spawn().unwrap(), table: String::new(), lines: None };
        let start = Instant::now();
        let mut lines = BufReader::new(dev.child.stdout.take().unwrap()).lines();
        while pasted(&dev.table).len() < 3 {
            let line = lines.next().expect("it ended before it was ready").unwrap();
            dev.table = format!("{}{line}\n", dev.table);
            assert!(start.elapsed() < START, "{}", dev.table);
        }
        // The test does not read what it prints from here on. The pipe stays open, as a terminal does.
        dev.lines = Some(lines);
        dev
    }

    /// Ctrl-C, and how it took it.
    fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

/// The lines that are there to be pasted.
fn pasted(table: &str) -> Vec<&str> {
    table.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect()
}

/// Runs a script the way a person would, in the directory where `make run` was called.
fn shell(home: &Path, script: &str) -> String {
    let output =
        Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(home).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}\n{}\n{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}

/// Command lines of running processes with this path in them; where the system does not show them, none.
fn processes_that_name(path: &Path) -> Vec<String> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let command = |process: fs::DirEntry| fs::read_to_string(process.path().join("cmdline")).ok();
    let lines = processes.flatten().filter_map(command);
    lines.filter(|line| line.contains(path.to_str().unwrap())).collect()
}

/// The README's tour.
fn tour() -> String {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, rest) = readme.split_once("<!-- tour -->\n```sh\n").unwrap();
    rest.split_once("```\n<!-- /tour -->").unwrap().0.to_owned()
}

#[test]
fn a_newcomer_pastes_takes_the_tour_and_finds_the_data_again() {
    let scratch = Scratch::new().unwrap();
    let (port, metrics_port) = (free_port(), free_port());
    let dev = Dev::start(scratch.path(), port, metrics_port);
    let metrics = shell(scratch.path(), &format!("curl -sf http://127.0.0.1:{metrics_port}/metrics"));
    assert!(metrics.contains("bulkhead_"), "{metrics}");
    for line in pasted(&dev.table) {
        let answer = shell(scratch.path(), line);
        assert!(answer.starts_with("HTTP/1.1 20"), "{line}\n{answer}");
    }
    // A second one says what is the matter, and the first goes on.
    let second =
        Command::new(env!("CARGO_BIN_EXE_bulkhead")).arg("dev").current_dir(scratch.path()).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    let already = format!("bulkhead: already running here, as process {}: ", dev.child.id());
    assert!(!second.status.success() && said.starts_with(&already) && said.lines().count() == 1, "{said}");
    let bulkhead = env!("CARGO_BIN_EXE_bulkhead");
    let seen = shell(scratch.path(), &format!("{bulkhead} doctor --dev"));
    assert!(seen.contains("ok       ") && !seen.contains("BROKEN"), "{seen}");
    let seen = shell(scratch.path(), &format!("set -a; . .bulkhead/env; set +a; {bulkhead} migrate --plan"));
    assert!(seen.contains("pending   core  nothing\n"), "{seen}");
    let database = dev.table.lines().find_map(|line| line.trim().strip_prefix("database   psql "));
    assert!(database.is_some_and(|url| url.starts_with("'postgres://")), "{}", dev.table);
    let told = shell(scratch.path(), &tour());
    for expected in ["ratelimit: \"tenant\";r=", "\"Quarterly report\"", "\"api_requests\"", "true\n"] {
        assert!(told.contains(expected), "no {expected} in\n{told}");
    }
    // No other account of the machine may read the passwords.
    for (name, expected) in
        [("credentials.json", 0o600), ("dev.json", 0o600), ("env", 0o600), ("logs", 0o700)]
    {
        let mode = fs::metadata(scratch.path().join(".bulkhead").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
    let before = dev.table.clone();
    dev.stop();
    assert_eq!(processes_that_name(&scratch.path().join(".bulkhead")), [""; 0], "left behind");
    let nothing =
        Command::new(bulkhead).args(["doctor", "--dev"]).current_dir(scratch.path()).output().unwrap();
    let said = String::from_utf8(nothing.stderr).unwrap();
    assert!(!nothing.status.success() && said.contains("`dev` does not run here"), "{said}");

    let again = Dev::start(scratch.path(), port, metrics_port);
    assert_eq!(pasted(&again.table), pasted(&before), "the credentials have changed");
    let key = "key=$(jq -r .tenants[0].api_key .bulkhead/dev.json); api=$(jq -r .api .bulkhead/dev.json);";
    let list = shell(scratch.path(), &format!("{key} curl -sf \"$api/v1/resources\" -H \"X-API-Key: $key\""));
    assert!(list.contains("Quarterly report"), "{list}");
    again.stop();
}
