//! The walls: the one file that scopes a connection.
//!
//! Every transaction of the product is opened here, and its first message carries BEGIN together with all of its
//! walls: the role in force and the one schema in the path. `SET LOCAL` only, so nothing outlives the transaction. The
//! time-outs are those that a pool's connections begin with (`connect.rs`); a transaction that needs others says so in its
//! first message too. A tenant's work gets a [`TenantTx`], the look-up of a credential a [`CredentialTx`], the platform's
//! own tables a [`PlatformTx`], building and migrating schemas an [`OwnerTx`]; none of them can be turned into another,
//! and nothing else in the workspace sees a connection.
//!
//! `transaction.rs` keeps the order of what is sent.

use std::{fmt, pin::pin};

use bulkhead_domain::{OperatorId, Proven, SchemaName, TenantId};
use diesel::{
    pg::Pg,
    query_builder::{AsQuery, QueryFragment, QueryId},
};
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection,
    methods::{ExecuteDsl, LoadQuery},
};

use crate::engine::{
    connect::Timeouts,
    error::{DbError, DbResult},
    pool::{Claimant, Pool, Side},
    statement::Marked,
    transaction::{Extent, Tx},
};

/// What a transaction may do, and what it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads; the server refuses writes.
    Read,
    /// Reads in several statements that must agree with each other.
    Snapshot,
    /// Reads and writes.
    Write,
}

/// The first message of a transaction: BEGIN and the walls.
///
/// The time-outs stand in it only where they are others than `pool`'s connections begin with: each `SET LOCAL` costs the
/// server about 3 µs.
fn opening(access: Access, role: &str, path: &str, timeouts: Timeouts, pool: &Pool) -> String {
    let mode = match access {
        Access::Read => " READ ONLY",
        Access::Snapshot => " ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Access::Write => "",
    };
    let mut opening = format!("BEGIN{mode}; SET LOCAL ROLE {role}; SET LOCAL search_path = {path}");
    if pool.session_timeouts() != Some(timeouts) {
        for (name, ms) in timeouts.settings() {
            opening += &format!("; SET LOCAL {name} = {ms}");
        }
    }
    opening
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name {
            pub(crate) tx: Tx,
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

scopes! {
    /// A transaction inside one tenant's walls, for a proven tenant.
    TenantTx;
    /// A read-only transaction inside one tenant's walls for a caller who is not proven yet. It can look a credential
    /// up and nothing else: `tenant::credentials` holds its only queries.
    CredentialTx;
    /// A transaction on the platform's own tables.
    PlatformTx;
    /// A transaction that owns every schema: builds tenants and migrates them.
    OwnerTx;
}

/// What a query on a tenant's tables is run with. The role in force decides what it reaches: the tenant's own tables and what
/// `gate` shows of the platform. A statement that is not work on rows (`SET`, `RESET`, `COMMIT`, `DO`, definitions), or that
/// mentions `set_config` or a lock of the session, fails with [`DbError::Setup`] before it is sent.
///
/// After an error the transaction keeps nothing: its commit fails.
impl TenantTx {
    /// All rows of a query.
    pub fn load<'query, Q, U>(&mut self, query: Q) -> impl Future<Output = DbResult<Vec<U>>>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        self.tx.load(query)
    }

    /// At most one row of a query; further ones are ignored.
    pub fn first<'query, Q, U>(&mut self, query: Q) -> impl Future<Output = DbResult<Option<U>>>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        self.tx.first(query)
    }

    /// The one row that an `INSERT … RETURNING` or an aggregate yields; none is [`DbError::Query`].
    pub fn one<'query, Q, U>(&mut self, query: Q) -> impl Future<Output = DbResult<U>>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        self.tx.one(query)
    }

    /// How many rows a statement has changed.
    pub async fn execute<'query, Q>(&mut self, query: Q) -> DbResult<usize>
    where
        Q: QueryFragment<Pg> + QueryId,
        Marked<Q>: for<'conn> ExecuteDsl<&'conn AsyncPgConnection> + 'query,
    {
        self.tx.execute(query).await
    }
}

/// The right to open a transaction on the platform's own tables. A tenant's principal cannot be made into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority {
    side: Side,
}

impl Authority {
    /// An operator's, whose credential was verified.
    pub const fn operator(_proof: Proven<OperatorId>) -> Self {
        Self { side: Side::Operators }
    }

    /// The look-ups that identify the caller of a request with a token or a key: the tenant directory, revocations,
    /// operators' sessions. `cargo xtask graph` lists the files that may ask for it.
    pub const fn credentials() -> Self {
        Self { side: Side::Credentials }
    }

    /// The look-up of the tenant or operator that a log-in names. The caller has proven nothing yet. However many
    /// log-ins there are, they queue only behind each other. `cargo xtask graph` lists the files that may ask for it.
    pub const fn logins() -> Self {
        Self { side: Side::Logins }
    }

    /// The product's own machinery: usage, the queue, nodes, keys. `cargo xtask graph` lists the files that may ask for it.
    pub const fn machinery() -> Self {
        Self { side: Side::Machinery }
    }
}

/// One thread's way to the database.
///
/// Work is handed over as a closure: its `Ok` is committed, its `Err` is rolled back, and if the future is dropped
/// half-way the connection is closed.
#[derive(Clone, Debug)]
pub struct Db {
    tenants: Pool,
    platform: Pool,
    timeouts: Timeouts,
}

impl Db {
    /// `tenants` logs in as `bulkhead_tenant`, `platform` as `bulkhead_platform`. Their connections begin with `timeouts`.
    pub fn new(tenants: Pool, platform: Pool, timeouts: Timeouts) -> Self {
        tenants.begin_with(timeouts);
        platform.begin_with(timeouts);
        Self { tenants, platform, timeouts }
    }

    /// Reads in a tenant with one statement, which is what most requests do: from a connection's second time on, the whole
    /// transaction is one message. A second statement is refused; [`Self::snapshot`] takes several.
    pub async fn read<T, E: From<DbError>>(
        &self,
        tenant: Proven<TenantId>,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.tenant_tx(tenant.get(), Access::Read).await?.of(Extent::SingleStatement);
        let mut scope = TenantTx { tx };
        let result = pin!(work(&mut scope)).await;
        finish_read(scope.tx, result)
    }

    /// Reads in a tenant, in several statements that see the same moment.
    pub async fn snapshot<T, E: From<DbError>>(
        &self,
        tenant: Proven<TenantId>,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut scope = TenantTx { tx: self.tenant_tx(tenant.get(), Access::Snapshot).await? };
        let result = work(&mut scope).await;
        finish_read(scope.tx, result)
    }

    /// Reads and writes in a tenant. `Ok` means that it is committed.
    pub async fn write<T, E: From<DbError>>(
        &self,
        tenant: Proven<TenantId>,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut scope = TenantTx { tx: self.tenant_tx(tenant.get(), Access::Write).await? };
        let result = work(&mut scope).await;
        finish_write(scope.tx, result).await
    }

    /// Looks a credential up for a caller who claims to be of this tenant. A tenant that does not exist has no role,
    /// so this fails with [`DbError::Denied`] or [`DbError::Query`]; callers look the tenant up first.
    pub async fn credentials<T, E: From<DbError>>(
        &self,
        claimed: TenantId,
        work: impl AsyncFnOnce(&mut CredentialTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.tenant_tx(claimed, Access::Read).await?.of(Extent::SingleStatement);
        let mut scope = CredentialTx { tx };
        let result = work(&mut scope).await;
        finish_read(scope.tx, result)
    }

    /// [`Self::credentials`] for a caller that wants to log in. The connection counts towards the share of all log-ins
    /// together, not towards the share of the tenant that the caller names.
    pub async fn login_credentials<T, E: From<DbError>>(
        &self,
        claimed: TenantId,
        work: impl AsyncFnOnce(&mut CredentialTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.tx_in(claimed, Claimant::Logins, Access::Read).await?.of(Extent::SingleStatement);
        let mut scope = CredentialTx { tx };
        let result = work(&mut scope).await;
        finish_read(scope.tx, result)
    }

    /// Reads the platform's tables; several statements see the same moment.
    pub async fn platform_read<T, E: From<DbError>>(
        &self,
        authority: Authority,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut scope = PlatformTx { tx: self.platform_tx(authority, Access::Snapshot).await? };
        let result = work(&mut scope).await;
        finish_read(scope.tx, result)
    }

    /// Reads and writes the platform's tables. `Ok` means that it is committed.
    pub async fn platform_write<T, E: From<DbError>>(
        &self,
        authority: Authority,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut scope = PlatformTx { tx: self.platform_tx(authority, Access::Write).await? };
        let result = work(&mut scope).await;
        finish_write(scope.tx, result).await
    }

    async fn tenant_tx(&self, tenant: TenantId, access: Access) -> DbResult<Tx> {
        // The low half of a UUIDv7 is random, which is all that affinity needs.
        let (_time, affinity) = tenant.uuid().as_u64_pair();
        self.tx_in(tenant, Claimant::Tenant(affinity), access).await
    }

    async fn tx_in(&self, tenant: TenantId, claimant: Claimant, access: Access) -> DbResult<Tx> {
        let schema = SchemaName::of(tenant);
        let lease = self.tenants.lease(claimant).await?;
        let opening = opening(access, schema.as_str(), schema.as_str(), self.timeouts, &self.tenants);
        Ok(Tx::new(lease, opening, self.tenants.answer_timeout()).in_schema(schema))
    }

    async fn platform_tx(&self, authority: Authority, access: Access) -> DbResult<Tx> {
        let lease = self.platform.lease(Claimant::Side(authority.side)).await?;
        let opening = opening(access, "bulkhead_platform_rw", "platform", self.timeouts, &self.platform);
        Ok(Tx::new(lease, opening, self.platform.answer_timeout()))
    }
}

/// The provisioner's way to the database: builds and migrates schemas. The API never has one.
#[derive(Clone, Debug)]
pub struct Owner {
    pool: Pool,
    timeouts: Timeouts,
}

impl Owner {
    /// `pool` logs in as `bulkhead_provisioner`. Its connections begin with `timeouts`.
    pub fn new(pool: Pool, timeouts: Timeouts) -> Self {
        pool.begin_with(timeouts);
        Self { pool, timeouts }
    }

    /// Works on the platform's tables as the owner of everything.
    pub async fn write<T, E: From<DbError>>(
        &self,
        work: impl AsyncFnOnce(&mut OwnerTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let lease = self.pool.lease(Claimant::Owner).await?;
        let opening = opening(Access::Write, "bulkhead_owner", "platform", self.timeouts, &self.pool);
        let mut scope = OwnerTx { tx: Tx::new(lease, opening, self.pool.answer_timeout()) };
        let result = work(&mut scope).await;
        finish_write(scope.tx, result).await
    }

    /// Looks at everything as its owner, for inspection; several statements see the same moment.
    pub(crate) async fn read<T, E: From<DbError>>(
        &self,
        work: impl AsyncFnOnce(&mut OwnerTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let lease = self.pool.lease(Claimant::Owner).await?;
        let opening = opening(Access::Snapshot, "bulkhead_owner", "platform", self.timeouts, &self.pool);
        let mut scope = OwnerTx { tx: Tx::new(lease, opening, self.pool.answer_timeout()) };
        let result = work(&mut scope).await;
        finish_read(scope.tx, result)
    }

    /// The same pool, with other time-outs.
    pub(crate) fn with_timeouts(&self, timeouts: Timeouts) -> Self {
        Self { pool: self.pool.clone(), timeouts }
    }

    /// How many transactions it can have at once.
    pub(crate) fn connections(&self) -> usize {
        self.pool.connections()
    }

    /// A connection for the migration harness of the platform's own schemas, with the owner's role and path and without
    /// time-outs for the whole session: the harness opens its own transactions and the connection is closed afterwards.
    pub(crate) async fn session(&self) -> DbResult<AsyncPgConnection> {
        let lease = self.pool.lease(Claimant::Owner).await?;
        let mut pg = lease.into_pg()?;
        pg.batch_execute(
            "SET ROLE bulkhead_owner; SET search_path = platform; \
             SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0",
        )
        .await?;
        Ok(pg)
    }
}

/// Points the rest of an [`OwnerTx`] at one tenant's schema.
pub(crate) fn enter_schema(schema: SchemaName) -> String {
    format!("SET LOCAL search_path = {schema};")
}

/// Points the rest of an [`OwnerTx`] back at the platform's tables.
pub(crate) const LEAVE_SCHEMA: &str = "SET LOCAL search_path = platform;";

/// Ends a reading transaction. The answer does not wait for it: a read has nothing to keep.
fn finish_read<T, E: From<DbError>>(tx: Tx, result: Result<T, E>) -> Result<T, E> {
    if !tx.has_ended() {
        tokio::spawn(tx.rollback());
    }
    result
}

/// Ends a writing transaction; success is told only after the server has kept it.
async fn finish_write<T, E: From<DbError>>(tx: Tx, result: Result<T, E>) -> Result<T, E> {
    match result {
        Ok(value) => {
            tx.commit().await?;
            Ok(value)
        }
        Err(error) => {
            tx.rollback().await;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::{
        connect::Connector,
        pool::{PoolOptions, Shares},
    };

    const TIMEOUTS: Timeouts = Timeouts { statement_ms: 1, lock_ms: 2, idle_ms: 3 };

    fn pool() -> Pool {
        let minute = Duration::from_mins(1);
        let options = PoolOptions {
            connections: 1,
            shares: Shares::Whole,
            max_age: minute,
            statements: 1,
            wait: minute,
            answer: minute,
        };
        Pool::new(Connector::new("postgres://a@localhost/a", None, minute).unwrap(), options)
    }

    #[test]
    fn every_wall_ends_with_its_transaction() {
        for access in [Access::Read, Access::Snapshot, Access::Write] {
            let opening = opening(access, "t_a", "t_a", TIMEOUTS, &pool());
            let (begin, walls) = opening.split_once("; ").unwrap();
            assert_eq!(begin.contains("READ ONLY"), access != Access::Write);
            assert!(
                begin.starts_with("BEGIN") && walls.split("; ").all(|wall| wall.starts_with("SET LOCAL "))
            );
        }
        assert!(
            enter_schema(SchemaName::of(TenantId::from_uuid(uuid::Uuid::nil()))).starts_with("SET LOCAL ")
        );
        assert!(LEAVE_SCHEMA.starts_with("SET LOCAL "));
    }

    #[test]
    fn a_transaction_sets_the_time_outs_that_its_connection_does_not_begin_with() {
        let pool = pool();
        let sets = |timeouts, pool: &Pool| {
            opening(Access::Read, "t_a", "t_a", timeouts, pool).matches("timeout = ").count()
        };
        assert_eq!(sets(TIMEOUTS, &pool), 3);
        pool.begin_with(TIMEOUTS);
        assert_eq!(sets(TIMEOUTS, &pool), 0);
        let others = Timeouts { statement_ms: 60_000, ..TIMEOUTS };
        pool.begin_with(others);
        assert_eq!((sets(TIMEOUTS, &pool), sets(others, &pool)), (0, 3));
    }
}
