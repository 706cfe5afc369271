//! The tools that make load and the limits: wrk and oha, pgbench and psql, redis-benchmark, openssl. All are maintained by
//! others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bulkhead_servers::Binaries;

use crate::{
    slices::quantile,
    stage::{CLIENTS, CONNECTIONS},
};

/// What a run of load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) requests: f64,
}

/// wrk over [`CLIENTS`] connections, each sending its next request when the last is answered (closed loop). Fails when
/// an answer was no success.
pub(crate) fn wrk(url: &str, script: &Path, slice: Duration) -> Result<Load> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &CLIENTS.to_string(), "--timeout", "10s", "--duration"])
        .arg(format!("{}s", slice.as_secs()))
        .arg("--script")
        .arg(script)
        .arg(url)
        .output()
        .context("wrk cannot be run; install it (apt-get install wrk, brew install wrk)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
    let number = |line: Option<&str>| -> Option<f64> { line?.split_whitespace().next()?.parse().ok() };
    let per_second = number(said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")));
    let requests = number(said.lines().find(|line| line.contains(" requests in ")));
    let (Some(per_second), Some(requests)) = (per_second, requests) else { bail!("wrk said: {said}") };
    Ok(Load { per_second, requests })
}

/// What people wait for answers, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Requests answered.
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// The program at a path that can leave steps out. Any other program would be measured with all steps, and every step
/// would seem to cost nothing.
pub(crate) fn built_for_ablation(path: &str) -> Result<PathBuf> {
    let program = fs::read(path).with_context(|| format!("cannot read {path}"))?;
    let switch = bulkhead_ablation::VARIABLE.as_bytes();
    if !program.windows(switch.len()).any(|bytes| bytes == switch) {
        bail!("it was not built with --cfg bulkhead_ablation");
    }
    Ok(PathBuf::from(path))
}

/// Whether oha is there; building it takes minutes, so a run can do without.
pub(crate) fn has_oha() -> bool {
    Command::new("oha").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// oha, sending a fixed number of requests a second whether or not earlier ones are answered (open loop): a request's time
/// begins when it was due, so a stall counts for every request that it has kept waiting. Without a number the rate is
/// that of the answers (closed loop). Fails when an answer was no success.
pub(crate) fn oha(url: &str, key: &str, per_second: Option<f64>, slice: Duration) -> Result<Latency> {
    let rate =
        per_second.map(|number| ["--latency-correction".to_owned(), "-q".to_owned(), format!("{number:.0}")]);
    let output = Command::new("oha")
        .args(["--no-tui", "--output-format", "json", "-c", &CLIENTS.to_string()])
        .args(rate.into_iter().flatten())
        .args(["-z", &format!("{}s", slice.as_secs())])
        .args(["-H", &format!("X-API-Key: {key}"), url])
        .output()
        .context("oha cannot be run; install it (cargo install oha)")?;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("oha: {}", String::from_utf8_lossy(&output.stderr)))?;
    let codes = said.get("statusCodeDistribution").and_then(serde_json::Value::as_object);
    let are_good = codes.is_some_and(|codes| codes.keys().all(|code| code == "200"));
    let percentile = |name: &str| said.pointer(&format!("/latencyPercentiles/{name}"))?.as_f64();
    let per_second = said.pointer("/summary/requestsPerSec").and_then(serde_json::Value::as_f64);
    let (true, Some(per_second), Some(p50), Some(p99)) =
        (are_good, per_second, percentile("p50"), percentile("p99"))
    else {
        bail!("oha said: {said}")
    };
    Ok(Latency { per_second, p50: p50 * 1e3, p99: p99 * 1e3 })
}

/// Seconds that psql takes for a script.
pub(crate) fn psql(url: &str, script: &Path) -> Result<f64> {
    let begun = Instant::now();
    let output = Command::new(client("psql")?)
        .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null", "--file"])
        .arg(script)
        .arg(url)
        .output()
        .context("psql cannot be run; it comes with PostgreSQL's client package")?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// What Redis answers to a command.
pub(crate) fn redis_cli(url: &str, command: &[&str]) -> Result<String> {
    let output = Command::new("redis-cli")
        .args(["--no-auth-warning", "-u", url])
        .args(command)
        .output()
        .context("redis-cli cannot be run; it comes with Redis's tools")?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || said.is_empty() {
        bail!("redis-cli: {said} {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}

/// Calls of a script per second that Redis alone answers, over [`CONNECTIONS`] connections and 10,000 keys.
pub(crate) fn redis_benchmark(url: &str, script: &str, arguments: &[&str]) -> Result<f64> {
    let digest = redis_cli(url, &["SCRIPT", "LOAD", script])?;
    let output = Command::new("redis-benchmark")
        .args(["-u", url, "-c", &CONNECTIONS.to_string(), "-n", "100000", "-r", "10000", "--csv"])
        .args(["EVALSHA", &digest, "1", "bh:{__rand_int__}:tb2"])
        .args(arguments)
        .output()
        .context("redis-benchmark cannot be run; it comes with Redis's tools")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let rate =
        said.lines().last().and_then(|line| line.split("\",\"").nth(1)?.trim_matches('"').parse().ok());
    rate.with_context(|| format!("redis-benchmark said: {said}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A program of PostgreSQL's clients: beside the server's if it is there, else wherever it is.
fn client(name: &str) -> Result<PathBuf> {
    let beside = Binaries::find()?.postgres_dir.join(name);
    Ok(if beside.exists() { beside } else { name.into() })
}

/// pgbench over [`CONNECTIONS`] connections with prepared statements.
pub(crate) fn pgbench(url: &str, script: &Path, slice: Duration) -> Result<Load> {
    let said = run_pgbench(url, script, slice, &[])?;
    let after = |word: &str| -> Option<f64> {
        let line = said.lines().find_map(|line| line.strip_prefix(word))?;
        line.split(|c: char| !c.is_ascii_digit() && c != '.').find(|part| !part.is_empty())?.parse().ok()
    };
    let (Some(per_second), Some(requests)) =
        (after("tps = "), after("number of transactions actually processed: "))
    else {
        bail!("pgbench: {said}")
    };
    Ok(Load { per_second, requests })
}

/// The same with so many reads a second, whether or not earlier ones are answered (open loop). A read's time begins when
/// it was due.
pub(crate) fn pgbench_latency(
    url: &str,
    script: &Path,
    per_second: f64,
    slice: Duration,
    scratch: &Path,
) -> Result<Latency> {
    let log = scratch.join("pgbench");
    let (rate, prefix) = (format!("--rate={per_second:.0}"), format!("--log-prefix={}", log.display()));
    run_pgbench(url, script, slice, &["--log", &rate, &prefix])?;
    let mut micros = Vec::new();
    for file in fs::read_dir(scratch)? {
        let path = file?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("pgbench.")) {
            // client, number, microseconds, …
            let text = fs::read_to_string(&path)?;
            micros.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
            fs::remove_file(path)?;
        }
    }
    if micros.is_empty() {
        bail!("pgbench wrote no log below {}", scratch.display());
    }
    Ok(Latency { per_second, p50: quantile(&micros, 0.5) / 1e3, p99: quantile(&micros, 0.99) / 1e3 })
}

fn run_pgbench(url: &str, script: &Path, slice: Duration, more: &[&str]) -> Result<String> {
    let output = Command::new(client("pgbench")?)
        .args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1", "--client"])
        .arg(CONNECTIONS.to_string())
        .arg("--time")
        .arg(slice.as_secs().to_string())
        .args(more)
        .arg("--file")
        .arg(script)
        .arg(url)
        .output()
        .context("pgbench cannot be run; it comes with PostgreSQL's contrib package")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("pgbench: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}

/// Microseconds that OpenSSL takes to verify an RSA signature with 2048 bits.
pub(crate) fn openssl_verify_micros() -> Result<f64> {
    let output = Command::new("openssl")
        .args(["speed", "-seconds", "2", "rsa2048"])
        .output()
        .context("openssl cannot be run")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find(|line| line.starts_with("rsa 2048"));
    // rsa 2048 bits 0.000252s 0.000017s   3968.0  59170.0
    let rate = line.and_then(|line| line.split_whitespace().last()?.parse::<f64>().ok());
    rate.map(|rate| 1e6 / rate).with_context(|| format!("openssl said: {said}"))
}

/// Writes a script where a tool finds it.
pub(crate) fn script(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
