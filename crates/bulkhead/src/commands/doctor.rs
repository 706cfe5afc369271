//! `bulkhead doctor`: does a live system keep the laws, as far as that can be seen from outside.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bulkhead_config::{AnchorPlace, NO_CREDENTIALS, PROVISIONER_URL, Settings};
use bulkhead_db::fleet::{
    inspect::{Finding, Level, PlatformProvider, connections, identity_providers, inspect, master_keys},
    migrate::Sets,
};

use bulkhead_oidc::Source;
use bulkhead_telemetry::Metrics;
use futures::future::join_all;

use crate::{out, wiring};

/// Looks at roles, grants, walls, versions and room for connections, and prints what it found. Fails when something is broken.
pub(crate) async fn run(settings: &Settings, sets: &Sets) -> Result<()> {
    let database = &settings.database;
    wiring::try_logins(database, &[(PROVISIONER_URL, database.require_provisioner()?)]).await?;
    let owner = wiring::owner(settings, 1)?;
    let mut findings = inspect(&owner, sets).await?;
    let configured = match settings.auth.master_key() {
        Some(_) => wiring::master_keys(settings)?.fingerprints()?,
        None => Vec::new(),
    };
    findings.push(master_keys(&owner, &configured).await?);
    let threads = wiring::threads(settings);
    let (api, worker) = (database.connections_of_api(threads), database.connections_of_worker(threads));
    findings.push(connections(&owner, api, worker).await?);
    let providers = identity_providers(&owner).await?;
    let makes_users = providers.iter().any(|provider| provider.makes_users);
    findings.extend(answering(settings, providers).await?);
    findings.extend(at_aws(settings, makes_users).await);
    let mut broken = 0;
    for finding in &findings {
        let mark = match finding.level {
            Level::Ok => "ok     ",
            Level::Warning => "warning",
            Level::Broken => {
                broken += 1;
                "BROKEN "
            }
        };
        out::line(format_args!("{mark}  {}: {}", finding.check, finding.detail))?;
    }
    if broken > 0 {
        bail!("{broken} checks failed");
    }
    Ok(())
}

/// Whether the platform's identity providers answer, asked from here. One that does not is no fault of ours, and keeps its people from
/// logging in.
async fn answering(settings: &Settings, providers: Vec<PlatformProvider>) -> Result<Vec<Finding>> {
    let issuers = wiring::issuers(settings, &Metrics::new()?)?;
    let look = async |provider: PlatformProvider| {
        let PlatformProvider { issuer, jwks_url, .. } = provider;
        let (level, detail) = match issuers.probe(&Source { issuer: issuer.clone(), jwks: jwks_url }).await {
            Ok(keys) => (Level::Ok, format!("{issuer} answers, with keys: {keys}")),
            Err(error) => (Level::Warning, format!("{issuer}: {error}")),
        };
        Finding { check: "identity provider", level, detail }
    };
    Ok(join_all(providers.into_iter().map(look)).await)
}

/// Whether this process is somebody at AWS, where something needs it. Anchors go there from where their place is set; people are made by
/// workers, of which this may be none.
async fn at_aws(settings: &Settings, makes_users: bool) -> Vec<Finding> {
    let bucket = match &settings.worker.audit_anchor {
        Some(AnchorPlace::Bucket { name, .. }) => Some(name),
        Some(AnchorPlace::Directory(_)) | None => None,
    };
    if bucket.is_none() && !makes_users {
        return Vec::new();
    }
    let asked = async {
        let aws = wiring::aws(settings)?.context(NO_CREDENTIALS)?;
        Ok::<_, anyhow::Error>(aws.probe().await?)
    };
    let asked = asked.await;
    let finding = |level, detail| Finding { check: "AWS", level, detail };
    let mut findings = Vec::new();
    if let Some(name) = bucket {
        let region = settings.aws.region.as_deref().context(wiring::NO_REGION);
        findings.push(match asked.as_ref().and(region.as_ref()) {
            Ok(region) => {
                finding(Level::Ok, format!("there are credentials for the bucket {name} in {region}"))
            }
            Err(error) => {
                finding(Level::Broken, format!("anchors cannot go to the bucket {name}: {error:#}"))
            }
        });
    }
    if makes_users {
        findings.push(match &asked {
            Ok(()) => finding(Level::Ok, "there are credentials to make people in a pool".to_owned()),
            Err(error) => finding(
                Level::Warning,
                format!(
                    "a provider makes users, which workers do, and here there are no credentials: {error:#}"
                ),
            ),
        });
    }
    findings
}

/// Asks the process on this machine whether it is alive: the health check of a container without a shell.
pub(crate) fn live(settings: &Settings) -> Result<()> {
    // Bound to every address, or to one.
    let bound = settings.http.metrics_bind;
    let host = if bound.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { bound };
    let address = SocketAddr::from((host, settings.http.metrics_port));
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        bail!("the process does not answer as it should")
    }
}
