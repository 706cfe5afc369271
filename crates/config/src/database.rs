//! PostgreSQL.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::{
    error::ConfigError,
    secret::Password,
    server_url::ServerUrl,
    value::{CertificateBundle, millis, number, seconds},
};

/// How connections to PostgreSQL are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatabaseTls {
    /// TLS, with the server's certificate and host name verified.
    VerifyFull,
    /// None.
    Off,
}

/// The variable of [`Database::require_tenant`].
pub const TENANT_URL: &str = "BULKHEAD_DATABASE_TENANT_URL";
/// The variable of [`Database::require_platform`].
pub const PLATFORM_URL: &str = "BULKHEAD_DATABASE_PLATFORM_URL";
/// The variable of [`Database::require_provisioner`].
pub const PROVISIONER_URL: &str = "BULKHEAD_DATABASE_PROVISIONER_URL";
const ADMIN_URL: &str = "BULKHEAD_DATABASE_ADMIN_URL";

/// Logins, connections and time-outs. Each command asks for the logins it needs, with `require_*`.
#[derive(Clone, Debug, Args)]
pub struct Database {
    /// Login `bulkhead_tenant`, which serves tenants' data: `postgres://user:password@host:5432/database`.
    #[arg(env = TENANT_URL, hide_env_values = true, value_parser = ServerUrl::postgres)]
    tenant_url: Option<ServerUrl>,
    /// Login `bulkhead_platform`, which serves operators and machinery.
    #[arg(env = PLATFORM_URL, hide_env_values = true, value_parser = ServerUrl::postgres)]
    platform_url: Option<ServerUrl>,
    /// Login `bulkhead_provisioner`, which builds schemas and roles; for the worker and `migrate`, never for the API.
    #[arg(env = PROVISIONER_URL, hide_env_values = true, value_parser = ServerUrl::postgres)]
    provisioner_url: Option<ServerUrl>,
    /// Login that may create the other logins; for `migrate` alone, which then repairs roles and grants too.
    #[arg(env = ADMIN_URL, hide_env_values = true, value_parser = ServerUrl::postgres)]
    admin_url: Option<ServerUrl>,
    /// Password of that login, instead of one in its URL: for one that is kept and rotated by itself, as Amazon RDS does.
    #[arg(env = "BULKHEAD_DATABASE_ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: Option<Password>,
    /// Whether connections use TLS. `off` is only for a server on this host.
    #[arg(id = "database_tls", env = "BULKHEAD_DATABASE_TLS", default_value = "verify-full")]
    pub tls: DatabaseTls,
    /// File of PEM certificates that the server's certificate must lead to; unset, the system's authorities count.
    #[arg(id = "database_ca", env = "BULKHEAD_DATABASE_CA_FILE")]
    pub ca: Option<CertificateBundle>,
    /// Connections that each thread may hold for tenants' data; a tenant may have half of them, and so may all who log in
    /// together. The API and the worker have a thread more than they are set to.
    #[arg(env = "BULKHEAD_DATABASE_CONNECTIONS_PER_THREAD", default_value = "8", value_parser = number(2..=256_u16))]
    pub connections_per_thread: u16,
    /// Prepared statements that a connection may hold; then it forgets them all. Each takes about 13 kB of the server's memory.
    #[arg(env = "BULKHEAD_DATABASE_STATEMENTS_PER_CONNECTION", default_value = "2000", value_parser = number(100..=100_000_usize))]
    pub statements_per_connection: usize,
    /// Connections that each thread may hold for the platform's own data. Of five, one each is kept for looking up who calls,
    /// for those who log in, for operators, and for the product's own work.
    #[arg(env = "BULKHEAD_DATABASE_PLATFORM_CONNECTIONS_PER_THREAD", default_value = "5", value_parser = number(5..=256_u16))]
    pub platform_connections_per_thread: u16,
    /// Longest life of a connection, in seconds; each draws its own from the upper half. Gives the server's memory back.
    #[arg(
        env = "BULKHEAD_DATABASE_CONNECTION_MAX_AGE_SECS",
        default_value = "1800",
        value_parser = seconds(10..=86_400)
    )]
    pub connection_max_age: Duration,
    /// Longest time to open a connection, in milliseconds.
    #[arg(
        id = "database_connect_timeout",
        env = "BULKHEAD_DATABASE_CONNECT_TIMEOUT_MS",
        default_value = "3000",
        value_parser = millis(50..=60_000)
    )]
    pub connect_timeout: Duration,
    /// Longest wait for a free connection, and for room among the bytes in flight, in milliseconds; then the request is answered
    /// 503, or 429 when its tenant has its share of them already.
    #[arg(env = "BULKHEAD_DATABASE_WAIT_TIMEOUT_MS", default_value = "2000", value_parser = millis(10..=60_000))]
    pub wait_timeout: Duration,
    /// Longest time for one statement, in milliseconds.
    #[arg(env = "BULKHEAD_STATEMENT_TIMEOUT_MS", default_value = "5000", value_parser = millis(50..=300_000))]
    pub statement_timeout: Duration,
    /// Longest wait for a lock, in milliseconds.
    #[arg(env = "BULKHEAD_LOCK_TIMEOUT_MS", default_value = "2000", value_parser = millis(10..=300_000))]
    pub lock_timeout: Duration,
    /// Longest time a transaction may stand idle, in milliseconds.
    #[arg(
        env = "BULKHEAD_IDLE_IN_TRANSACTION_TIMEOUT_MS",
        default_value = "10000",
        value_parser = millis(100..=300_000)
    )]
    pub idle_in_transaction_timeout: Duration,
}

impl Database {
    /// The login that serves tenants' data.
    pub fn require_tenant(&self) -> Result<&ServerUrl, ConfigError> {
        required(TENANT_URL, self.tenant_url.as_ref())
    }

    /// The login that serves operators and machinery.
    pub fn require_platform(&self) -> Result<&ServerUrl, ConfigError> {
        required(PLATFORM_URL, self.platform_url.as_ref())
    }

    /// The login that builds schemas and roles.
    pub fn require_provisioner(&self) -> Result<&ServerUrl, ConfigError> {
        required(PROVISIONER_URL, self.provisioner_url.as_ref())
    }

    /// The login that may create the other logins, when there is one.
    pub fn admin(&self) -> Option<ServerUrl> {
        let url = self.admin_url.as_ref()?;
        Some(self.admin_password.as_ref().map_or_else(|| url.clone(), |password| url.with_password(password)))
    }

    /// The addresses that would be spoken to without TLS.
    pub(crate) fn plaintext_urls(&self) -> impl Iterator<Item = (&'static str, &ServerUrl)> {
        [
            (TENANT_URL, &self.tenant_url),
            (PLATFORM_URL, &self.platform_url),
            (PROVISIONER_URL, &self.provisioner_url),
            (ADMIN_URL, &self.admin_url),
        ]
        .into_iter()
        .filter(|_| self.tls == DatabaseTls::Off)
        .filter_map(|(variable, url)| url.as_ref().map(|url| (variable, url)))
    }
}

/// The value of a variable that the running command cannot do without.
pub(crate) fn required<'a, T>(variable: &'static str, value: Option<&'a T>) -> Result<&'a T, ConfigError> {
    value.ok_or(ConfigError::Missing { variables: vec![variable] })
}
