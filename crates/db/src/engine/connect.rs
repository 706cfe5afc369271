//! How a connection is opened: address, TLS, time-outs.
//!
//! The time-outs of a pool's transactions are start-up options of its connections (`-c statement_timeout=…`), so they cost a
//! transaction nothing. Rejected: `SET LOCAL` in each transaction's first message, which costs the server about 3 µs for each of
//! three. Nothing of ours changes a session's settings (`statement.rs` refuses `SET` in tenants' transactions).
//!
//! Certificates are always verified, against the system's roots or a given bundle, and the host name with them; the
//! only other choice is no TLS at all, which the settings allow to loopback addresses or by a flag with an ugly name.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio_postgres::{Client, NoTls, Socket, config::SslMode, error::SqlState, tls::TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::engine::error::{DbError, DbResult, refusal};

/// The time-outs of every transaction, in milliseconds, enforced by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For one statement.
    pub statement_ms: u32,
    /// For waiting on a lock.
    pub lock_ms: u32,
    /// For doing nothing inside a transaction.
    pub idle_ms: u32,
}

impl Timeouts {
    /// The server's settings and their values.
    pub(crate) const fn settings(self) -> [(&'static str, u32); 3] {
        [
            ("statement_timeout", self.statement_ms),
            ("lock_timeout", self.lock_ms),
            ("idle_in_transaction_session_timeout", self.idle_ms),
        ]
    }
}

/// How to reach the server as one login role.
#[derive(Clone)]
pub struct Connector {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    timeout: Duration,
}

impl Connector {
    /// Reads a `postgres://` URL. With `tls` the server must present a valid certificate for its host name.
    pub fn new(url: &str, tls: Option<&Tls>, timeout: Duration) -> DbResult<Self> {
        // The parser's error text never repeats the URL, so no password can leak through it.
        let mut config: tokio_postgres::Config = url
            .parse()
            .map_err(|error| DbError::Unavailable(format!("the database URL is not valid: {error}")))?;
        config
            .application_name("bulkhead")
            .connect_timeout(timeout)
            .tcp_user_timeout(Duration::from_secs(15))
            .keepalives_idle(Duration::from_secs(30))
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Self { config, tls: tls.map(|tls| tls.0.clone()), timeout })
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(mut self, name: &str) -> Self {
        self.config.dbname(name);
        self
    }

    /// The login role.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The password, for the bootstrap that sets it.
    pub(crate) fn password(&self) -> Option<&str> {
        self.config.get_password().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// The same server, with sessions that begin with these time-outs.
    pub(crate) fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        let mut options = self.config.get_options().unwrap_or_default().to_owned();
        for (name, ms) in timeouts.settings() {
            options += &format!(" -c {name}={ms}");
        }
        self.config.options(options);
        self
    }

    /// Logs in and out again: whether the address, the certificate and the password are right, and whether the session has
    /// these time-outs. A proxy in between may drop them, and nothing else would bound a statement.
    pub async fn try_login(&self, timeouts: Timeouts) -> DbResult<()> {
        let opened = self.clone().with_timeouts(timeouts).connect().await?;
        let query = diesel::sql_query(
            "SELECT name::text, setting::bigint AS ms FROM pg_catalog.pg_settings \
             WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')",
        );
        let mut connection = &opened.pg;
        let has: Vec<SessionSetting> = RunQueryDsl::load(query, &mut connection).await?;
        for (name, ms) in timeouts.settings() {
            if !has.iter().any(|setting| setting.name == name && setting.ms == i64::from(ms)) {
                let why = format!(
                    "sessions do not begin with {name} = {ms}: a proxy in between drops the start-up parameter `options`"
                );
                return Err(DbError::Setup(why));
            }
        }
        Ok(())
    }

    /// Whether the server answers a login. A refusal is an answer too: a server whose connections are used up still
    /// works for the clients that have one. A server that starts up or shuts down counts as away, for it serves no
    /// client.
    pub async fn is_there(&self) -> bool {
        match self.open().await {
            Ok(_opened) => true,
            Err(unopened) => {
                tracing::debug!(error = %unopened.error, "PostgreSQL does not let us in");
                unopened.works_for_others
            }
        }
    }

    /// Opens a connection on the current runtime, which then drives it.
    pub(crate) async fn connect(&self) -> DbResult<Opened> {
        self.open().await.map_err(|unopened| unopened.error)
    }

    async fn open(&self) -> Result<Opened, Unopened> {
        let opening = async {
            match &self.tls {
                Some(tls) => {
                    let (client, connection) = self.config.connect(tls.clone()).await?;
                    Opened::drive(client, connection).await
                }
                None => {
                    let (client, connection) = self.config.connect(NoTls).await?;
                    Opened::drive(client, connection).await
                }
            }
        };
        tokio::time::timeout(self.timeout, opening)
            .await
            .unwrap_or_else(|_elapsed| Err(Unopened::unheard("connecting took too long")))
    }

    /// Asks the server to stop what a dropped connection was running. Best effort: the session's time-outs end it anyway.
    pub(crate) async fn cancel(&self, token: tokio_postgres::CancelToken) {
        let asked = async {
            match &self.tls {
                Some(tls) => token.cancel_query(tls.clone()).await,
                None => token.cancel_query(NoTls).await,
            }
        };
        if let Ok(Err(error)) = tokio::time::timeout(self.timeout, asked).await {
            tracing::debug!(%error, "a dropped connection's statement could not be cancelled");
        }
    }
}

/// A setting of a new session, as the server reports it.
#[derive(QueryableByName)]
struct SessionSetting {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    ms: i64,
}

/// An open connection.
pub(crate) struct Opened {
    pub(crate) pg: AsyncPgConnection,
    /// Set when the server or the network has ended the connection.
    pub(crate) ended: Arc<AtomicBool>,
}

impl Opened {
    /// Drives the connection in a task of ours, not in one of diesel-async. So a pool knows that a connection is dead
    /// without asking the server, and no query has to subscribe to the driver's errors.
    async fn drive<S>(
        client: Client,
        connection: tokio_postgres::Connection<Socket, S>,
    ) -> Result<Self, Unopened>
    where
        S: TlsStream + Unpin + Send + 'static,
    {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a database connection ended");
            }
            flag.store(true, Ordering::Release);
        });
        let pg = AsyncPgConnection::try_from(client)
            .await
            .map_err(|error| Unopened::unheard(&error.to_string()))?;
        Ok(Self { pg, ended })
    }
}

/// Shows the role, the hosts and the database, never the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}/{}", self.user(), self.config.get_hosts(), self.database())
    }
}

/// Why no connection was opened.
struct Unopened {
    error: DbError,
    /// Whether the server itself refused the login, for another reason than that it starts up or shuts down.
    works_for_others: bool,
}

impl Unopened {
    fn unheard(why: &str) -> Self {
        Self { error: DbError::Unavailable(why.to_owned()), works_for_others: false }
    }
}

impl From<tokio_postgres::Error> for Unopened {
    fn from(error: tokio_postgres::Error) -> Self {
        use std::error::Error as _;
        const AWAY: [SqlState; 3] =
            [SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
        let server = error.as_db_error();
        let works_for_others = server.is_some_and(|server| !AWAY.contains(server.code()));
        if let Some(server) = server
            && let Some(why) = refusal(server.message())
        {
            let error = DbError::Refused { why, message: server.message().to_owned() };
            return Self { error, works_for_others };
        }
        // tokio-postgres keeps the reason ("password authentication failed", "connection refused") in the source.
        let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        Self { error: DbError::Unavailable(why), works_for_others }
    }
}

/// TLS with full verification.
#[derive(Clone)]
pub struct Tls(MakeRustlsConnect);

impl Tls {
    /// Trusts the certificates of a PEM bundle, or the system's roots when none is given.
    pub fn verify_full(ca_file: Option<&Path>) -> DbResult<Self> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let unusable =
                    |why: String| DbError::Unavailable(format!("CA file {}: {why}", path.display()));
                let certificates =
                    CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                    roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(unusable("no certificate in it".to_owned()));
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DbError::Unavailable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
