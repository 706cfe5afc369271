//! The keys that sign access tokens: public parts in the clear, private parts sealed.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use std::fmt;

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::signing_keys,
};

/// A stored signing key.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = signing_keys, check_for_backend(diesel::pg::Pg))]
pub struct StoredSigningKey {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// `standby`, `active` or `retired`.
    pub state: String,
    /// The public part.
    pub public_jwk: Value,
    /// The private part, sealed.
    pub sealed_private: Vec<u8>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for StoredSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredSigningKey({} {})", self.kid, self.state)
    }
}

/// Every key that verifies tokens, the active one among them.
pub async fn list(tx: &mut PlatformTx) -> DbResult<Vec<StoredSigningKey>> {
    tx.tx
        .load(signing_keys::table.order(signing_keys::created_at.asc()).select(StoredSigningKey::as_select()))
        .await
}

/// Adds the first active key, unless there is one: of several nodes that start at once, one wins and the others read
/// its key.
pub async fn insert_first(
    tx: &mut PlatformTx,
    kid: &str,
    public_jwk: &Value,
    sealed_private: &[u8],
    at: DateTime<Utc>,
) -> DbResult<bool> {
    let row = (
        signing_keys::kid.eq(kid),
        signing_keys::state.eq("active"),
        signing_keys::public_jwk.eq(public_jwk),
        signing_keys::sealed_private.eq(sealed_private),
        signing_keys::created_at.eq(at),
    );
    let statement = diesel::insert_into(signing_keys::table).values(row).on_conflict_do_nothing();
    Ok(tx.tx.execute(statement).await? > 0)
}
