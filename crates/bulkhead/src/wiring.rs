//! From settings to handles: the one place that knows both the configuration and what it configures.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bulkhead_api::ServeError;
use bulkhead_auth::{Keyring, MasterKey, MasterKeys};
use bulkhead_aws::{Authorization, Aws, CredentialSource, s3::Bucket};
use bulkhead_config::{
    self as config, ALLOWED_ISSUERS, AWS_ENDPOINT_URL_S3, AwsCredentials, Database, DatabaseTls,
    NO_CREDENTIALS, ServerUrl, Settings, USAGE_CONNECTIONS,
};
use bulkhead_db::{
    Connector, Db, Owner, Pool, PoolOptions, Shares, Timeouts, Tls,
    platform::nodes::{Node, NodeKind},
};
use bulkhead_domain::{Clock, JobId, SystemClock};
use bulkhead_link::RedisServer;
use bulkhead_mail::{Mailer, Security, Sender, SmtpServer};
use bulkhead_oidc::{AllowedHosts, Issuers};
use bulkhead_outbound::Endpoint;
use bulkhead_telemetry::Metrics;
use bulkhead_usage::{FlusherOptions, Stores};
use bulkhead_worker::{AnchorPlace, Anchoring, OutgoingMail, Pools};

/// How much longer than the server's own time-out a client waits for an answer before it gives the connection up.
const MARGIN: Duration = Duration::from_secs(2);

/// What is to be done where the bucket's region is not known.
pub(crate) const NO_REGION: &str = "AWS_REGION is not set: set it to the region that the bucket is in";

/// How long to wait for a connection to Redis.
const REDIS_CONNECT: Duration = Duration::from_secs(1);
/// How long to wait for an answer of the Redis of the stream and the queue. Longer than a limiter waits: that this is sent
/// matters more than when.
const REDIS_ANSWER: Duration = Duration::from_millis(500);

/// The keys that are derived from the database's root key, which a configured master key opens. Before anything is served: a
/// wrong master key is named like any other setting.
pub(crate) async fn keyring(settings: &Settings, db: &Db) -> Result<Arc<Keyring>> {
    Ok(master_keys(settings)?.open(db, SystemClock.now()).await?)
}

/// The identity providers that may be named, and the way to them.
pub(crate) fn issuers(settings: &Settings, metrics: &Metrics) -> Result<Issuers> {
    let identity = &settings.identity;
    let hosts = identity.oidc_allowed_issuers.iter().map(String::as_str);
    let allowed = AllowedHosts::new(hosts).context(ALLOWED_ISSUERS)?;
    let authorities = identity.oidc_ca.as_ref().map(bulkhead_config::CertificateBundle::pem);
    let client = bulkhead_oidc::client(authorities, identity.dangerously_allow_private_issuers);
    Ok(Issuers::new(client.context("BULKHEAD_OIDC_CA")?, allowed, Some(metrics.identity.clone())))
}

/// The configured master keys.
pub(crate) fn master_keys(settings: &Settings) -> Result<MasterKeys> {
    let key = |key: &bulkhead_config::MasterKey| MasterKey::from(*key.expose());
    let auth = &settings.auth;
    Ok(MasterKeys { current: key(auth.require_master_key()?), previous: auth.previous_master_key().map(key) })
}

/// Where the heads of audit logs are written, if anywhere.
pub(crate) fn anchoring(settings: &Settings, keyring: &Arc<Keyring>) -> Result<Option<Anchoring>> {
    let place = match &settings.worker.audit_anchor {
        None => return Ok(None),
        Some(config::AnchorPlace::Directory(path)) => AnchorPlace::Directory(path.clone()),
        Some(config::AnchorPlace::Bucket { name, prefix }) => AnchorPlace::Bucket {
            bucket: bucket(settings, name).context("BULKHEAD_AUDIT_ANCHOR")?,
            prefix: prefix.clone(),
        },
    };
    Ok(Some(Anchoring { keyring: Arc::clone(keyring), place }))
}

fn bucket(settings: &Settings, name: &str) -> Result<Bucket> {
    let region = settings.aws.region.as_deref().context(NO_REGION)?;
    let at = settings.aws.endpoint_url_s3.as_ref();
    let at = at.map(|url| Endpoint::parse(url.as_str(), true)).transpose().context(AWS_ENDPOINT_URL_S3)?;
    Ok(Bucket::new(aws(settings)?.context(NO_CREDENTIALS)?, name, region, at))
}

/// Who we are at AWS; `None` when no setting says so.
pub(crate) fn aws(settings: &Settings) -> Result<Option<Aws>> {
    let source = match settings.aws.credentials() {
        None => return Ok(None),
        Some(AwsCredentials::Given { key_id, secret, token }) => CredentialSource::Given {
            key_id: key_id.to_owned(),
            secret: secret.expose().to_owned(),
            token: token.map(|token| token.expose().to_owned()),
        },
        Some(AwsCredentials::Container { variable, url, token, token_file }) => {
            let file = token_file.map(|path| Authorization::File(path.to_owned()));
            let text = || token.map(|token| Authorization::Text(token.expose().to_owned()));
            let endpoint = Endpoint::local(&url).with_context(|| format!("{variable} ({url})"))?;
            CredentialSource::Container { endpoint, authorization: file.or_else(text) }
        }
    };
    Ok(Some(Aws::new(source, Arc::new(SystemClock))?))
}

/// The pools in which people are made, where somebody is who may do so.
pub(crate) fn pools(settings: &Settings, metrics: &Metrics) -> Result<Pools> {
    let issuers = Arc::new(issuers(settings, metrics)?);
    Ok(Pools::new(aws(settings)?, issuers, metrics.identity.clone()))
}

/// How to reach the database as one login role.
pub(crate) fn connector(database: &Database, url: &ServerUrl) -> Result<Connector> {
    let tls = match database.tls {
        DatabaseTls::VerifyFull => {
            Some(Tls::verify_full(database.ca.as_ref().map(|ca| ca.path().as_path()))?)
        }
        DatabaseTls::Off => None,
    };
    Ok(Connector::new(url.expose(), tls.as_ref(), database.connect_timeout)?)
}

/// Logs in once with each of these settings: one that is wrong is named before anything is served, and a database that is
/// away at the start is a reason to be started again.
pub(crate) async fn try_logins(database: &Database, logins: &[(&'static str, &ServerUrl)]) -> Result<()> {
    for (name, url) in logins {
        connector(database, url)?.try_login(timeouts(database)).await.context(*name)?;
    }
    Ok(())
}

/// An error with the name of the setting to change, when it is about a port.
pub(crate) fn name_port(error: ServeError, settings: &Settings) -> anyhow::Error {
    let name = match &error {
        ServeError::Listen { address, .. } if address.port() == settings.http.port => "BULKHEAD_PORT",
        ServeError::Listen { .. } => "BULKHEAD_METRICS_PORT",
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(name)
}

/// The time-outs of every transaction.
pub(crate) fn timeouts(database: &Database) -> Timeouts {
    let ms = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    Timeouts {
        statement_ms: ms(database.statement_timeout),
        lock_ms: ms(database.lock_timeout),
        idle_ms: ms(database.idle_in_transaction_timeout),
    }
}

fn pool_options(database: &Database, connections: u16, shares: Shares) -> PoolOptions {
    PoolOptions {
        connections: usize::from(connections),
        shares,
        max_age: database.connection_max_age,
        statements: database.statements_per_connection,
        wait: database.wait_timeout,
        answer: database.statement_timeout + MARGIN,
    }
}

/// A function that makes one thread's way to the database; each thread calls it once. `platform_shares` says among
/// whom the connections for the platform's own data are shared.
pub(crate) fn databases(
    settings: &Settings,
    metrics: &Metrics,
    platform_shares: Shares,
) -> Result<impl Fn() -> Db + Clone + Send + 'static> {
    let database = &settings.database;
    let tenants = connector(database, database.require_tenant()?)?;
    let platform = connector(database, database.require_platform()?)?;
    let tenant_options = pool_options(database, database.connections_per_thread, Shares::HalfPerTenant);
    let platform_options = pool_options(database, database.platform_connections_per_thread, platform_shares);
    let (timeouts, metrics) = (timeouts(database), metrics.clone());
    Ok(move || {
        let tenants = Pool::measured(tenants.clone(), tenant_options, metrics.database.pool("tenant"));
        let platform = Pool::measured(platform.clone(), platform_options, metrics.database.pool("platform"));
        Db::new(tenants, platform, timeouts)
    })
}

/// The provisioner's way to the database, with so many connections, for a process that ends by itself and tells what failed.
pub(crate) fn owner(settings: &Settings, connections: u16) -> Result<Owner> {
    owner_of(settings, connections, Pool::new)
}

/// The same for a process that stays: what PostgreSQL refuses it is counted.
pub(crate) fn measured_owner(settings: &Settings, connections: u16, metrics: &Metrics) -> Result<Owner> {
    let metrics = metrics.database.pool("provisioner");
    owner_of(settings, connections, |connector, options| Pool::measured(connector, options, metrics))
}

fn owner_of(
    settings: &Settings,
    connections: u16,
    pool: impl FnOnce(Connector, PoolOptions) -> Pool,
) -> Result<Owner> {
    let database = &settings.database;
    let connector = connector(database, database.require_provisioner()?)?;
    // Building and migrating schemas takes longer than answering requests: a minute per statement.
    let options = PoolOptions {
        answer: Duration::from_mins(1) + MARGIN,
        ..pool_options(database, connections, Shares::Whole)
    };
    let timeouts = Timeouts { statement_ms: 60_000, ..timeouts(database) };
    Ok(Owner::new(pool(connector, options), timeouts))
}

/// What the other nodes know this process by.
pub(crate) fn node(settings: &Settings, kind: NodeKind) -> Node {
    let started_at = SystemClock.now();
    Node { id: JobId::mint(started_at).uuid(), name: settings.usage.node_name(), kind, started_at }
}

/// How many threads answer requests.
pub(crate) fn threads(settings: &Settings) -> usize {
    match settings.http.http_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => usize::from(threads),
    }
}

/// The Redis that holds the usage stream and the queue.
pub(crate) fn queue_redis(settings: &Settings) -> Result<RedisServer> {
    redis(settings, settings.redis.require_queue()?, REDIS_ANSWER)
}

/// The Redis that decides on requests.
pub(crate) fn cache_redis(settings: &Settings) -> Result<RedisServer> {
    redis(settings, settings.redis.require_cache()?, settings.limits.limiter_timeout)
}

fn redis(settings: &Settings, url: &ServerUrl, answer: Duration) -> Result<RedisServer> {
    let ca = settings.redis.ca.as_ref().map(bulkhead_config::CertificateBundle::pem);
    Ok(RedisServer::new(url.expose(), ca, REDIS_CONNECT, answer)?)
}

/// Where a process stores its usage, apart from what requests and the platform's own work use.
pub(crate) fn usage_stores(settings: &Settings, metrics: &Metrics) -> Result<Stores> {
    let database = &settings.database;
    let postgres = connector(database, database.require_platform()?)?;
    let pool = |connector, connections, label| {
        let options = pool_options(database, connections, Shares::Whole);
        Pool::measured(connector, options, metrics.database.pool(label))
    };
    // Usage is never a tenant's transaction, so the first pool opens nothing.
    let tenants = pool(connector(database, database.require_tenant()?)?, 1, "tenant");
    let db = Db::new(tenants, pool(postgres.clone(), USAGE_CONNECTIONS, "platform"), timeouts(database));
    Ok(Stores { db, postgres, redis: queue_redis(settings)? })
}

/// How usage is stored.
pub(crate) fn flusher_options(settings: &Settings) -> FlusherOptions {
    let usage = &settings.usage;
    FlusherOptions {
        node: usage.node_name(),
        // An answer that was ready by its deadline is given by twice that, whatever happens to its usage.
        longest_wait: settings.http.request_timeout,
        stream_max: u64::from(usage.usage_stream_max),
        buffer_bytes: usage.usage_buffer_bytes,
        buffer_age: usage.usage_buffer_age,
        resend_after: usage.usage_resend,
        ..FlusherOptions::default()
    }
}

/// Starts logging.
pub(crate) fn log(settings: &Settings) -> Result<()> {
    let format = match settings.log.log_format {
        bulkhead_config::LogFormat::Json => bulkhead_telemetry::LogFormat::Json,
        bulkhead_config::LogFormat::Text => bulkhead_telemetry::LogFormat::Text,
    };
    Ok(bulkhead_telemetry::init(format, &settings.log.log)?)
}

/// What sends mails, where an SMTP server is set.
pub(crate) fn outgoing_mail(settings: &Settings, keyring: &Arc<Keyring>) -> Result<Option<OutgoingMail>> {
    let Some((server, from)) = smtp_server(settings)? else { return Ok(None) };
    let mailer = Mailer::new(&server, &from).context("BULKHEAD_SMTP_URL")?;
    let (links, keyring) = (settings.mail_links_url().into(), Arc::clone(keyring));
    Ok(Some(OutgoingMail { mailer: Arc::new(mailer), links, keyring }))
}

/// The SMTP server, if there is one, and whom mails are from.
fn smtp_server(settings: &Settings) -> Result<Option<(SmtpServer, Sender)>> {
    let mail = &settings.mail;
    let Some((url, from)) = mail.server() else { return Ok(None) };
    let security = match (url.asks_for_tls(), url.is_loopback()) {
        (true, _) => Security::Tls,
        (false, true) => Security::Plain,
        (false, false) => Security::StartTls,
    };
    let server = SmtpServer {
        host: url.host().to_owned(),
        port: url.port().unwrap_or(if security == Security::Tls { 465 } else { 587 }),
        security,
        login: url.login()?,
        ca: mail.ca.as_ref().map(|ca| ca.pem().to_vec()),
        timeout: mail.smtp_timeout,
        at_once: usize::from(mail.smtp_connections),
    };
    Ok(Some((server, Sender { name: from.name.clone(), address: from.address.clone() })))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use bulkhead_config::Sections;

    use super::*;

    #[test]
    fn mail_is_spoken_in_plain_text_on_this_host_alone() {
        let server = |url: &str| {
            let variables = [("BULKHEAD_SMTP_URL", url), ("BULKHEAD_MAIL_FROM", "a@example.com")];
            let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
            let settings = Settings::from_vars(variables, &Sections::default()).unwrap();
            let (server, _) = smtp_server(&settings).unwrap().unwrap();
            (server.security, server.host, server.port, server.login)
        };
        let login = Some(("me@example.com".to_owned(), "p:w".to_owned()));
        let elsewhere = "mail.example.com".to_owned();
        assert_eq!(
            server("smtp://me%40example.com:p%3Aw@mail.example.com"),
            (Security::StartTls, elsewhere.clone(), 587, login.clone())
        );
        assert_eq!(
            server("smtps://me%40example.com:p%3Aw@mail.example.com"),
            (Security::Tls, elsewhere.clone(), 465, login)
        );
        assert_eq!(server("smtp://192.0.2.1:25").0, Security::StartTls);
        assert_eq!(server("smtps://127.0.0.1:465").0, Security::Tls);
        for here in ["smtp://127.0.0.1:25", "smtp://localhost:25", "smtp://[::1]:25"] {
            assert_eq!(server(here).0, Security::Plain, "{here}");
        }
    }
}
