//! The walls: the one file that scopes a connection.
//!
//! Every transaction of the product is opened here, and its first message carries BEGIN together with all of its
//! walls: the role in force, the one schema in the path, and the time-outs. `SET LOCAL` only, so nothing outlives the
//! transaction. A tenant's work gets a [`TenantTx`], the look-up of a credential a [`CredentialTx`], the platform's
//! own tables a [`PlatformTx`], building and migrating schemas an [`OwnerTx`]; none of them can be turned into another,
//! and nothing else in the workspace sees a connection.
//!
//! `transaction.rs` keeps the order of what is sent.

use std::fmt;

use bulkhead_domain::{OperatorId, Proven, SchemaName, TenantId};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use crate::engine::{
    error::{DbError, DbResult},
    pool::{Claimant, Pool, Side},
    transaction::{Extent, Tx},
};

/// The time-outs of every transaction, in milliseconds, enforced by the server.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For one statement.
    pub statement_ms: u32,
    /// For waiting on a lock.
    pub lock_ms: u32,
    /// For doing nothing inside a transaction.
    pub idle_ms: u32,
}

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
fn opening(access: Access, role: &str, path: &str, timeouts: Timeouts) -> String {
    let mode = match access {
        Access::Read => " READ ONLY",
        Access::Snapshot => " ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Access::Write => "",
    };
    let Timeouts { statement_ms, lock_ms, idle_ms } = timeouts;
    format!(
        "BEGIN{mode}; SET LOCAL ROLE {role}; SET LOCAL search_path = {path}; \
         SET LOCAL statement_timeout = {statement_ms}; SET LOCAL lock_timeout = {lock_ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {idle_ms}"
    )
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

    /// What must be looked up before it is known who calls with a token or a key: the tenant directory, revocations,
    /// operators' sessions. `cargo xtask graph` lists the files that may ask for it.
    pub const fn credentials() -> Self {
        Self { side: Side::Credentials }
    }

    /// Whom somebody names who wants to log in and has shown nothing yet: however many they are, they queue behind each
    /// other alone. `cargo xtask graph` lists the files that may ask for it.
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
    /// `tenants` logs in as `bulkhead_tenant`, `platform` as `bulkhead_platform`.
    pub const fn new(tenants: Pool, platform: Pool, timeouts: Timeouts) -> Self {
        Self { tenants, platform, timeouts }
    }

    /// Reads in a tenant with one statement, which is what most requests do: from a connection's second time on, the whole
    /// transaction is one message. A second statement is refused; [`Self::snapshot`] takes several.
    pub async fn read<T, E: From<DbError>>(
        &self,
        tenant: Proven<TenantId>,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.tenant_tx(tenant.get(), Access::Read).await?.of(Extent::OneStatement);
        let mut scope = TenantTx { tx };
        let result = work(&mut scope).await;
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
        let tx = self.tenant_tx(claimed, Access::Read).await?.of(Extent::OneStatement);
        let mut scope = CredentialTx { tx };
        let result = work(&mut scope).await;
        finish_read(scope.tx, result)
    }

    /// The same for somebody who wants to log in: not at the cost of the tenant that they name, but of all who log in.
    pub async fn login_credentials<T, E: From<DbError>>(
        &self,
        claimed: TenantId,
        work: impl AsyncFnOnce(&mut CredentialTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.tx_in(claimed, Claimant::Logins, Access::Read).await?.of(Extent::OneStatement);
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
        let opening = opening(access, schema.as_str(), schema.as_str(), self.timeouts);
        Ok(Tx::new(lease, opening, self.tenants.answer_timeout()).in_schema(schema))
    }

    async fn platform_tx(&self, authority: Authority, access: Access) -> DbResult<Tx> {
        let lease = self.platform.lease(Claimant::Side(authority.side)).await?;
        let opening = opening(access, "bulkhead_platform_rw", "platform", self.timeouts);
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
    /// `pool` logs in as `bulkhead_provisioner`.
    pub const fn new(pool: Pool, timeouts: Timeouts) -> Self {
        Self { pool, timeouts }
    }

    /// Works on the platform's tables as the owner of everything.
    pub async fn write<T, E: From<DbError>>(
        &self,
        work: impl AsyncFnOnce(&mut OwnerTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let lease = self.pool.lease(Claimant::Owner).await?;
        let opening = opening(Access::Write, "bulkhead_owner", "platform", self.timeouts);
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
        let opening = opening(Access::Snapshot, "bulkhead_owner", "platform", self.timeouts);
        let mut scope = OwnerTx { tx: Tx::new(lease, opening, self.pool.answer_timeout()) };
        let result = work(&mut scope).await;
        finish_read(scope.tx, result)
    }

    /// The same way, with other time-outs.
    pub(crate) fn with_timeouts(&self, timeouts: Timeouts) -> Self {
        Self { pool: self.pool.clone(), timeouts }
    }

    /// How many transactions it can have at once.
    pub(crate) fn connections(&self) -> usize {
        self.pool.connections()
    }

    /// A connection for the migration harness of the platform's own schemas, with the owner's role and path for the
    /// whole session: the harness opens its own transactions and the connection is closed afterwards.
    pub(crate) async fn session(&self) -> DbResult<AsyncPgConnection> {
        let lease = self.pool.lease(Claimant::Owner).await?;
        let mut pg = lease.into_pg()?;
        pg.batch_execute("SET ROLE bulkhead_owner; SET search_path = platform").await?;
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
    if !tx.is_over() {
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
    use super::*;

    #[test]
    fn every_wall_ends_with_its_transaction() {
        for access in [Access::Read, Access::Snapshot, Access::Write] {
            let opening = opening(access, "t_a", "t_a", Timeouts { statement_ms: 1, lock_ms: 2, idle_ms: 3 });
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
}
