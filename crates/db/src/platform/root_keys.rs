//! The root key, sealed once for each master key that opens it.
//!
//! Owns rows alone: what is in them only `bulkhead-auth` can read. Refuses to delete without being told what stays, because the
//! last row that a configured master key opens is all that keeps the platform's secrets readable.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::{root_keys, tenants},
};

/// The root key as one master key opens it.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = root_keys, check_for_backend(diesel::pg::Pg))]
pub struct SealedRootKey {
    /// Which master key opens it.
    pub fingerprint: String,
    /// The root key, sealed.
    pub sealed: Vec<u8>,
    /// When the row was written.
    pub created_at: DateTime<Utc>,
}

impl std::fmt::Debug for SealedRootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedRootKey({})", self.fingerprint)
    }
}

/// Every row, the oldest first.
pub async fn list(tx: &mut PlatformTx) -> DbResult<Vec<SealedRootKey>> {
    let rows = root_keys::table.order((root_keys::created_at, root_keys::fingerprint));
    tx.tx.load(rows.select(SealedRootKey::as_select())).await
}

/// Whether there is a tenant, in whatever state.
pub async fn has_tenants(tx: &mut PlatformTx) -> DbResult<bool> {
    let one: Option<Uuid> = tx.tx.first(tenants::table.select(tenants::id).limit(1)).await?;
    Ok(one.is_some())
}

/// Adds a row, unless that master key has one already.
pub async fn insert(tx: &mut PlatformTx, fingerprint: &str, sealed: &[u8]) -> DbResult<bool> {
    let row = (root_keys::fingerprint.eq(fingerprint), root_keys::sealed.eq(sealed));
    let statement = diesel::insert_into(root_keys::table).values(row).on_conflict_do_nothing();
    Ok(tx.tx.execute(statement).await? > 0)
}

/// Deletes the rows of all master keys but these; the fingerprints of those that were deleted.
pub async fn delete_others(tx: &mut PlatformTx, kept: &[String]) -> DbResult<Vec<String>> {
    let others = root_keys::table.filter(root_keys::fingerprint.ne_all(kept));
    tx.tx.load(diesel::delete(others).returning(root_keys::fingerprint)).await
}
