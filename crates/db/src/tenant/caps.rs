//! How much of something a tenant may have.
//!
//! Owns the counting: two transactions that add at the same moment are counted one after the other, so the cap cannot
//! be passed. Refuses to say what a caller is told: that is the API's.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Text},
};

use crate::engine::{error::DbResult, scope::TenantTx};

/// The class of the advisory locks that this module takes: `bkcp`. Locks of two numbers are apart from those of one.
/// The second number is the OID of the table that is capped. Each tenant has tables of its own, and no two tables of a
/// database share an OID, so a transaction waits only for others of the same tenant.
const LOCKS: i32 = 0x626b_6370;

/// How many API keys that no longer work are kept at least; older ones make room when a new key is made.
const DEAD_KEYS_KEPT: i64 = 1_000;

/// What is capped, most of it by the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capped {
    /// People.
    Users,
    /// API keys that work: neither revoked nor expired.
    ApiKeys,
    /// Roles of the tenant's own: 50, whatever its plan, as they are listed whole.
    Roles,
    /// Invitations that can be accepted: 1,000, whatever its plan. The people who accept them count as people then.
    Invitations,
    /// Identity providers: 200, whatever its plan, as each is one more issuer that nodes ask for keys.
    IdentityProviders,
}

impl Capped {
    /// A table in the tenant's schema by which its claims wait for each other.
    const fn table(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::ApiKeys => "api_keys",
            Self::Roles => "roles",
            Self::Invitations => "one_time_tokens",
            Self::IdentityProviders => "federated_identities",
        }
    }

    /// Counts both sides. A plan that cannot be seen allows nothing.
    const fn statement(self) -> &'static str {
        match self {
            Self::Users => {
                "SELECT coalesce((SELECT max_users FROM gate.plan_limits), 0)::bigint AS most, \
                 (SELECT count(*) FROM users) AS used, 0::bigint AS dead"
            }
            Self::ApiKeys => {
                "SELECT coalesce((SELECT max_api_keys FROM gate.plan_limits), 0)::bigint AS most, \
                 count(*) FILTER (WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())) AS used, \
                 count(*) FILTER (WHERE revoked_at IS NOT NULL OR expires_at <= now()) AS dead FROM api_keys"
            }
            Self::Roles => "SELECT 50::bigint AS most, count(*) AS used, 0::bigint AS dead FROM roles",
            Self::Invitations => {
                "SELECT 1000::bigint AS most, count(*) AS used, 0::bigint AS dead FROM one_time_tokens \
                 WHERE purpose = 'invitation' AND expires_at > now()"
            }
            Self::IdentityProviders => {
                "SELECT 200::bigint AS most, count(*) AS used, 0::bigint AS dead FROM gate.identity_providers"
            }
        }
    }
}

/// How much there is of something, and may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Cap {
    /// As much as the plan allows.
    #[diesel(sql_type = BigInt)]
    pub most: i64,
    /// As much as there is.
    #[diesel(sql_type = BigInt)]
    pub used: i64,
    #[diesel(sql_type = BigInt)]
    dead: i64,
}

impl Cap {
    /// Whether there is no room for one more.
    pub const fn is_reached(&self) -> bool {
        self.used >= self.most
    }
}

/// Counts without a lock, so that a caller can refuse before it does expensive work. The count may have changed a
/// moment later: [`claim`] decides.
pub async fn look(tx: &mut TenantTx, what: Capped) -> DbResult<Cap> {
    tx.tx.one(diesel::sql_query(what.statement())).await
}

/// Counts for one that this transaction is going to add. No other transaction that claims can add before this one has
/// ended. Keys that no longer work are deleted beyond a thousand, the oldest first, so that a tenant which makes and
/// revokes them all day does not fill its table.
pub async fn claim(tx: &mut TenantTx, what: Capped) -> DbResult<Cap> {
    let lock = diesel::sql_query("SELECT pg_advisory_xact_lock($1, $2::regclass::oid::int)")
        .bind::<Integer, _>(LOCKS)
        .bind::<Text, _>(what.table());
    tx.tx.execute(lock).await?;
    let cap = look(tx, what).await?;
    if cap.dead > DEAD_KEYS_KEPT {
        let oldest = diesel::sql_query(
            "DELETE FROM api_keys WHERE id IN ( \
                 SELECT id FROM api_keys WHERE revoked_at IS NOT NULL OR expires_at <= now() \
                 ORDER BY least(revoked_at, expires_at), id LIMIT $1)",
        );
        tx.tx.execute(oldest.bind::<BigInt, _>(cap.dead - DEAD_KEYS_KEPT)).await?;
    }
    Ok(cap)
}
