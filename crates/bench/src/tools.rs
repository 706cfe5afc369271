//! The tools that make load and the limits: wrk, pgbench, openssl. All are maintained by others.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use bulkhead_servers::Binaries;

use crate::stage::CONNECTIONS;

/// What a run of load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) requests: f64,
}

/// wrk over [`CONNECTIONS`] connections, each sending its next request when the last is answered (closed loop). Fails when
/// an answer was no success.
pub(crate) fn wrk(url: &str, script: &Path, slice: Duration) -> Result<Load> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string(), "--timeout", "10s", "--duration"])
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

/// pgbench over [`CONNECTIONS`] connections with prepared statements.
pub(crate) fn pgbench(url: &str, script: &Path, slice: Duration) -> Result<Load> {
    let binaries = Binaries::find()?;
    let beside = binaries.postgres_dir.join("pgbench");
    let program = if beside.exists() { beside } else { "pgbench".into() };
    let output = Command::new(program)
        .args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1", "--client"])
        .arg(CONNECTIONS.to_string())
        .arg("--time")
        .arg(slice.as_secs().to_string())
        .arg("--file")
        .arg(script)
        .arg(url)
        .output()
        .context("pgbench cannot be run; it comes with PostgreSQL's contrib package")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let after = |word: &str| -> Option<f64> {
        let line = said.lines().find_map(|line| line.strip_prefix(word))?;
        line.split(|c: char| !c.is_ascii_digit() && c != '.').find(|part| !part.is_empty())?.parse().ok()
    };
    let (Some(per_second), Some(requests)) =
        (after("tps = "), after("number of transactions actually processed: "))
    else {
        bail!("pgbench: {said}{}", String::from_utf8_lossy(&output.stderr))
    };
    Ok(Load { per_second, requests })
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
pub(crate) fn script(dir: &Path, name: &str, text: &str) -> Result<std::path::PathBuf> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
