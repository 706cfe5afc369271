//! The keys that sign exports and anchors of audit logs. Rows are only ever added: what a key has signed is verified years later.

use diesel::prelude::*;
use serde_json::Value;

use super::signing_keys::NewSigningKey;
use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::audit_keys,
};

/// The key that signs: the newest. Its public part and its sealed private part.
pub async fn newest(tx: &mut PlatformTx) -> DbResult<Option<(Value, Vec<u8>)>> {
    let newest = audit_keys::table.order(audit_keys::created_at.desc()).limit(1);
    tx.tx.first(newest.select((audit_keys::public_jwk, audit_keys::sealed_private))).await
}

/// The public parts of all keys, the oldest first.
pub async fn public(tx: &mut PlatformTx) -> DbResult<Vec<Value>> {
    tx.tx.load(audit_keys::table.order(audit_keys::created_at.asc()).select(audit_keys::public_jwk)).await
}

/// Adds a key, which signs from now on.
pub async fn insert(tx: &mut PlatformTx, key: &NewSigningKey) -> DbResult<()> {
    let row = (
        audit_keys::kid.eq(&key.kid),
        audit_keys::public_jwk.eq(&key.public_jwk),
        audit_keys::sealed_private.eq(&key.sealed_private),
    );
    tx.tx.execute(diesel::insert_into(audit_keys::table).values(row)).await?;
    Ok(())
}
