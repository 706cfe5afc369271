//! A private PostgreSQL server with the product's roles and a migrated template database.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Connector, Owner, Pool, PoolOptions, Shares, Tls,
    fleet::{
        bootstrap::{Logins, bootstrap, prepare_database},
        migrate::{MigrateOptions, migrate},
    },
};
use bulkhead_servers::{Binaries, Durability, Postgres, PostgresOptions, Scratch};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OnceCell;

use crate::database::timeouts;

pub(crate) const TEMPLATE: &str = "bulkhead_template";
/// Of all three logins on servers of our own, which listen on loopback, for as long as a test takes.
const PASSWORD: &str = "a password of the tests' own";
/// What a given server's template database is marked with, so that what a benchmark has left behind is known as such.
const MARK: &str = "made by a benchmark of bulkhead, which may drop it";
const CONNECT: Duration = Duration::from_secs(10);

static SHARED: OnceCell<Arc<Cluster>> = OnceCell::const_new();

/// As whom to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// `bulkhead_tenant`.
    Tenant,
    /// `bulkhead_platform`.
    Platform,
    /// `bulkhead_provisioner`.
    Provisioner,
    /// The superuser.
    Admin,
}

/// A server for tests: a private one, whose databases are gone with it, or a given one.
pub struct Cluster {
    // Before the directory that it lives in. `None` for a given one.
    postgres: Option<Mutex<Postgres>>,
    /// The superuser's URL, without a database.
    admin_url: String,
    password: String,
    tls: Option<Tls>,
    databases: AtomicU32,
    _scratch: Option<Scratch>,
}

impl Cluster {
    /// The server that the tests of this process share.
    pub async fn shared() -> Result<Arc<Self>> {
        let options = |options: &mut PostgresOptions| options.max_connections = 300;
        SHARED.get_or_try_init(async || Self::start(options, None).await).await.cloned()
    }

    /// A server of the test's own, to be killed and stopped at will. `tls` is what clients trust when `adjust` makes
    /// the server speak TLS.
    pub async fn start(
        adjust: impl FnOnce(&mut PostgresOptions) + Send + 'static,
        tls: Option<Tls>,
    ) -> Result<Arc<Self>> {
        let (postgres, scratch) = tokio::task::spawn_blocking(|| {
            let scratch = Scratch::new()?;
            let mut options = PostgresOptions::new(scratch.path().join("postgres"));
            options.durability = Durability::TestOnly;
            adjust(&mut options);
            Ok::<_, bulkhead_servers::Error>((Postgres::start(&Binaries::find()?, options)?, scratch))
        })
        .await??;
        let url = postgres.superuser_url("");
        let admin_url = url.split('?').next().unwrap_or(&url).to_owned();
        let cluster = Self {
            postgres: Some(Mutex::new(postgres)),
            admin_url,
            password: PASSWORD.to_owned(),
            tls,
            databases: AtomicU32::new(0),
            _scratch: Some(scratch),
        };
        cluster.build_database(TEMPLATE).await?;
        Ok(Arc::new(cluster))
    }

    /// Somebody's server, for a benchmark: `admin_url` is its superuser's, without a database. Refused when it holds anything
    /// that no benchmark has made, because roles are the whole server's; what an earlier one has left is dropped.
    /// [`Self::clear`] leaves it as it was.
    pub async fn given(admin_url: &str) -> Result<Arc<Self>> {
        let mut cluster = Self {
            postgres: None,
            admin_url: format!("{}/", admin_url.trim_end_matches('/')),
            password: String::new(),
            tls: None,
            databases: AtomicU32::new(0),
            _scratch: None,
        };
        cluster.clear().await?;
        let random = "SELECT gen_random_uuid()::text || gen_random_uuid()::text";
        cluster.password = cluster.names(random).await?.concat();
        let found = cluster.names(
            "SELECT 'the role ' || rolname FROM pg_roles WHERE rolname ~ '^(bulkhead_|t_)' UNION ALL \
             SELECT 'the database ' || datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' \
             UNION ALL SELECT 'the table ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        );
        if let Some(found) = found.await?.first() {
            anyhow::bail!(
                "the server holds {found}, which no benchmark has made: give one that holds nothing, or none, and a \
                 private one is started"
            );
        }
        cluster.build_database(TEMPLATE).await?;
        let admin = cluster.session(Login::Admin, "postgres").await?;
        admin.batch_execute(&format!("COMMENT ON DATABASE {TEMPLATE} IS '{MARK}'")).await?;
        Ok(Arc::new(cluster))
    }

    /// Drops what a benchmark has made on a given server: nothing, unless its mark is there.
    pub async fn clear(&self) -> Result<()> {
        let marked = format!(
            "SELECT datname FROM pg_database WHERE datname = '{TEMPLATE}' \
             AND shobj_description(oid, 'pg_database') = '{MARK}'"
        );
        if self.names(&marked).await?.is_empty() {
            return Ok(());
        }
        let admin = self.session(Login::Admin, "postgres").await?;
        // The template, and its mark with it, last: a run that is cut off can be gone on with.
        for database in self.names("SELECT datname FROM pg_database WHERE datname ~ '^test_[0-9]+$'").await? {
            admin.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)")).await?;
        }
        for role in self.names("SELECT rolname FROM pg_roles WHERE rolname ~ '^t_[a-z0-9]+$'").await? {
            admin.batch_execute(&format!("DROP ROLE {role}")).await?;
        }
        let roles = self.names("SELECT rolname FROM pg_roles WHERE rolname ~ '^bulkhead_'").await?;
        admin.batch_execute(&format!("DROP DATABASE {TEMPLATE} WITH (FORCE)")).await?;
        for role in roles {
            admin.batch_execute(&format!("DROP ROLE {role}")).await?;
        }
        Ok(())
    }

    async fn names(&self, query: &str) -> Result<Vec<String>> {
        let rows = self.session(Login::Admin, "postgres").await?.query(query, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Roles, database and the platform's schemas, as an administrator sets a server up.
    async fn build_database(&self, name: &str) -> Result<()> {
        let login = |login| self.connector(login, name);
        let (tenant, platform, provisioner) =
            (login(Login::Tenant)?, login(Login::Platform)?, login(Login::Provisioner)?);
        let logins = Logins { tenant: &tenant, platform: &platform, provisioner: &provisioner };
        bootstrap(&login(Login::Admin)?, &logins).await.context("bootstrap")?;
        let options = PoolOptions {
            connections: 1,
            shares: Shares::Whole,
            max_age: Duration::from_mins(10),
            statements: 1_000,
            wait: CONNECT,
            answer: Duration::from_mins(1),
        };
        let owner = Owner::new(Pool::new(provisioner, options), timeouts());
        migrate(&owner, &MigrateOptions::default(), &|_progress| {}).await.context("migrations")?;
        Ok(())
    }

    /// A new database, a copy of `template`; its name.
    pub(crate) async fn create_database(&self, template: &str) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        if self.tls.is_some() {
            self.build_database(&name).await?;
            return Ok(name);
        }
        let admin = self.session(Login::Admin, "postgres").await?;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
        prepare_database(&self.connector(Login::Admin, &name)?).await?;
        Ok(name)
    }

    /// The URL of a database for one of the logins, password included.
    pub fn url(&self, login: Login, database: &str) -> String {
        let user = match login {
            Login::Tenant => "bulkhead_tenant",
            Login::Platform => "bulkhead_platform",
            Login::Provisioner => "bulkhead_provisioner",
            Login::Admin => return format!("{}{database}", self.admin_url),
        };
        let password = self.password.replace(' ', "%20").replace('\'', "%27");
        let address = self.admin_url.rsplit('@').next().unwrap_or_default();
        format!("postgres://{user}:{password}@{address}{database}")
    }

    /// How the product reaches a database as one of the logins.
    pub fn connector(&self, login: Login, database: &str) -> Result<Connector> {
        Ok(Connector::new(&self.url(login, database), self.tls.as_ref(), CONNECT)?)
    }

    /// A connection of the test's own, outside of every wall. Only for servers without TLS.
    pub async fn session(&self, login: Login, database: &str) -> Result<tokio_postgres::Client> {
        let url = self.url(login, database);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
        // It ends with the client; what it has to say, the client's calls say too.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    /// The server, to signal, stop and restart. Blocks while it does: use it on a blocking thread, or where nothing
    /// else has to go on. A given server has none.
    pub fn server(&self) -> Option<MutexGuard<'_, Postgres>> {
        self.postgres.as_ref().map(Mutex::lock)
    }
}

/// Without passwords.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.admin_url.rsplit('@').next().unwrap_or_default();
        write!(f, "Cluster at {address}")
    }
}
