//! A test's own database, and tenants in it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Authority, Connector, Db, DbError, Owner, Pool, PoolOptions, Shares, Timeouts,
    fleet::{
        migrate::{MigrateOptions, TENANT_MIGRATIONS, TenantMigration, migrate_tenants},
        provision::{Provisioned, provision_tenant},
    },
    platform::tenants::{self, NewTenant},
};
use bulkhead_domain::{Clock as _, Evidence, JobId, Plan, Proven, Slug, SystemClock, TenantId, UserId};
use tokio_postgres::SimpleQueryMessage;

use crate::cluster::{Cluster, Login, TEMPLATE};

/// The password of every tenant's first owner.
pub const OWNER_PASSWORD: &str = "correct horse battery staple";

/// Argon2id of [`OWNER_PASSWORD`] with the parameters of `bulkhead-auth`, made beforehand: it takes long on purpose.
const OWNER_PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$naNGG0hYBWl+lecHvidQSw$JE8HvwvhdT9hkFwmRJe2bZlaiRBNvOixtdJLy1jImTY";

/// Time-outs that a busy machine keeps.
pub const fn timeouts() -> Timeouts {
    Timeouts { statement_ms: 10_000, lock_ms: 5_000, idle_ms: 20_000 }
}

/// The addresses of a database, passwords included, as a process is configured with them.
#[derive(Clone)]
pub struct Urls {
    /// For `bulkhead_tenant`.
    pub tenant: String,
    /// For `bulkhead_platform`.
    pub platform: String,
    /// For `bulkhead_provisioner`.
    pub provisioner: String,
    /// For the superuser.
    pub admin: String,
}

/// A database with the platform's schemas and no tenant.
#[derive(Clone, Debug)]
pub struct TestDb {
    cluster: Arc<Cluster>,
    name: String,
}

impl TestDb {
    /// A database on the shared server.
    pub async fn new() -> Result<Self> {
        Self::on(Cluster::shared().await?).await
    }

    /// A database on the shared server with the platform's schemas still empty.
    pub async fn unmigrated() -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let name = cluster.create_database("template0").await?;
        Ok(Self { cluster, name })
    }

    /// A database on this server.
    pub async fn on(cluster: Arc<Cluster>) -> Result<Self> {
        let name = cluster.create_database(TEMPLATE).await?;
        Ok(Self { cluster, name })
    }

    /// The server it is on.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its addresses.
    pub fn urls(&self) -> Urls {
        Urls {
            tenant: self.cluster.url(Login::Tenant, &self.name),
            platform: self.cluster.url(Login::Platform, &self.name),
            provisioner: self.cluster.url(Login::Provisioner, &self.name),
            admin: self.admin_url(),
        }
    }

    /// The superuser's address, password included.
    pub fn admin_url(&self) -> String {
        self.cluster.url(Login::Admin, &self.name)
    }

    /// How the product reaches it as one of the logins.
    pub fn connector(&self, login: Login) -> Result<Connector> {
        self.cluster.connector(login, &self.name)
    }

    /// How a pool of a test behaves.
    pub const fn pool_options(connections: usize) -> PoolOptions {
        PoolOptions {
            connections,
            shares: Shares::Whole,
            max_age: Duration::from_hours(1),
            statements: 1_000,
            wait: Duration::from_secs(10),
            answer: Duration::from_secs(15),
        }
    }

    /// Pools for the current runtime: four connections for tenants, two for the platform.
    pub fn db(&self) -> Result<Db> {
        self.db_with(Self::pool_options(4), timeouts())
    }

    /// The same, with other options for the tenants' pool and other time-outs.
    pub fn db_with(&self, tenants: PoolOptions, timeouts: Timeouts) -> Result<Db> {
        let tenants = Pool::new(self.connector(Login::Tenant)?, tenants);
        let platform = Pool::new(self.connector(Login::Platform)?, Self::pool_options(2));
        Ok(Db::new(tenants, platform, timeouts))
    }

    /// The provisioner's way in, with four connections, for the current runtime.
    pub fn owner(&self) -> Result<Owner> {
        self.owner_with(Self::pool_options(4))
    }

    /// The same, with other options.
    pub fn owner_with(&self, options: PoolOptions) -> Result<Owner> {
        Ok(Owner::new(Pool::new(self.connector(Login::Provisioner)?, options), timeouts()))
    }

    /// Signs a tenant up and builds it, ready for service.
    pub async fn create_tenant(&self, slug: &str, plan: Plan) -> Result<TestTenant> {
        self.create_tenant_with(TENANT_MIGRATIONS, slug, plan).await
    }

    /// The same, with other migrations than the product's: as a release that has them and has migrated.
    pub async fn create_tenant_with(
        &self,
        migrations: &[TenantMigration],
        slug: &str,
        plan: Plan,
    ) -> Result<TestTenant> {
        let tenant = self.sign_up(slug, plan).await?;
        let owner = self.owner_with(Self::pool_options(1))?;
        migrate_tenants(&owner, migrations, &MigrateOptions::default(), &|_progress| {}).await?;
        let job = JobId::mint(SystemClock.now());
        let built = owner
            .write(async |tx| provision_tenant(tx, migrations, tenant.id, job, SystemClock.now()).await)
            .await
            .context("provisioning")?;
        anyhow::ensure!(built == Provisioned::Built, "{slug} was {built:?}");
        Ok(tenant)
    }

    /// Signs a tenant up and leaves it to be built.
    pub async fn sign_up(&self, slug: &str, plan: Plan) -> Result<TestTenant> {
        let at = SystemClock.now();
        let slug: Slug = slug.parse()?;
        let (owner_id, owner_email) = (UserId::mint(at), format!("owner@{slug}.example"));
        let new = NewTenant {
            id: None,
            slug: &slug,
            name: slug.as_str(),
            plan,
            owner: owner_id,
            owner_email: &owner_email,
            owner_password_hash: OWNER_PASSWORD_HASH,
            at,
        };
        let insert = async |tx: &mut _| tenants::insert(tx, &new).await;
        let made = self.db()?.platform_write::<_, DbError>(Authority::machinery(), insert).await;
        let id = made.context("signing up")?.id;
        Ok(TestTenant { id, slug, owner_id, owner_email })
    }

    /// A connection of the test's own, outside of every wall.
    pub async fn session(&self, login: Login) -> Result<tokio_postgres::Client> {
        self.cluster.session(login, &self.name).await
    }

    /// Runs SQL as the superuser; the rows of all its statements, each value as text.
    pub async fn sql(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let admin = self.session(Login::Admin).await?;
        let messages = admin.simple_query(sql).await.with_context(|| sql.to_owned())?;
        let row = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(ToOwned::to_owned)).collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// The one value that SQL yields, run as the superuser; empty when it is null.
    pub async fn value(&self, sql: &str) -> Result<String> {
        let rows = self.sql(sql).await?;
        let value = rows.into_iter().flatten().next().with_context(|| format!("no row from: {sql}"))?;
        Ok(value.unwrap_or_default())
    }
}

/// A tenant that a test has made.
#[derive(Clone, Debug)]
pub struct TestTenant {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its first owner's id.
    pub owner_id: UserId,
    /// Its first owner's address; the password is [`OWNER_PASSWORD`].
    pub owner_email: String,
}

impl TestTenant {
    /// Its id, proven.
    pub const fn proven(&self) -> Proven<TenantId> {
        Proven::on(Evidence::Fixture, self.id)
    }

    /// The name of its schema and its role.
    pub fn schema(&self) -> String {
        bulkhead_domain::SchemaName::of(self.id).to_string()
    }
}
