//! Changes of what opens a key: another secret, none for a while, or none any more.
//!
//! Each is one statement on rows that the caller has locked. Call `revocations::revoke` for the keys concerned afterwards, and
//! `announce` last.

use std::fmt;

use bulkhead_domain::ApiKeyId;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{ApiKeyRow, find};
use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::tenant::api_keys,
};

/// Another secret for a key.
#[derive(Clone, Copy)]
pub struct Rotation<'a> {
    /// HMAC-SHA-256 of the key with the new secret.
    pub mac: &'a [u8],
    /// Until when the secret before it is good beside it.
    pub previous_until: DateTime<Utc>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Gives a key another secret. Of those before, only the last one is ever good beside it.
pub async fn rotate(tx: &mut TenantTx, id: ApiKeyId, new: Rotation<'_>) -> DbResult<Option<ApiKeyRow>> {
    let query = diesel::sql_query(
        "UPDATE api_keys SET \
             previous_mac = coalesce(guarded_mac, mac), previous_until = $3, \
             guarded_mac = CASE WHEN guarded_mac IS NOT NULL THEN $2 END, \
             mac = CASE WHEN guarded_mac IS NULL THEN $2 ELSE mac END, rotated_at = $4 \
         WHERE id = $1",
    );
    let query = query.bind::<SqlUuid, _>(id.uuid()).bind::<Binary, _>(new.mac);
    let query = query.bind::<Timestamptz, _>(new.previous_until).bind::<Timestamptz, _>(new.at);
    tx.tx.execute(query).await?;
    find(tx, id).await
}

/// Ends the secret before the last rotation. It is remembered as one that was good.
pub async fn end_previous(tx: &mut TenantTx, id: ApiKeyId, at: DateTime<Utc>) -> DbResult<()> {
    let row = diesel::update(api_keys::table.find(id.uuid()));
    tx.tx.execute(row.set(api_keys::previous_until.eq(Some(at)))).await?;
    Ok(())
}

/// What verifies the secrets of a key.
#[derive(Clone)]
pub struct Secrets {
    /// HMAC-SHA-256 of the key.
    pub mac: Vec<u8>,
    /// The same of the secret before the last rotation, and until when that is good.
    pub previous: Option<(Vec<u8>, DateTime<Utc>)>,
}

/// HMACs stay out of logs.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

type SecretsRow = (Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>, Option<DateTime<Utc>>);

/// What verifies the secrets of a key, which this transaction has locked.
pub async fn secrets(tx: &mut TenantTx, id: ApiKeyId) -> DbResult<Option<Secrets>> {
    let columns = (api_keys::guarded_mac, api_keys::mac, api_keys::previous_mac, api_keys::previous_until);
    let row: Option<SecretsRow> = tx.tx.first(api_keys::table.find(id.uuid()).select(columns)).await?;
    Ok(row.map(|(guarded, mac, previous, until)| Secrets {
        mac: guarded.unwrap_or(mac),
        previous: previous.zip(until),
    }))
}

/// Lets keys work no more until they are enabled; those that are disabled or revoked already stay as they are. A program that
/// knows nothing of this finds no HMAC, and refuses them.
pub async fn disable(tx: &mut TenantTx, ids: &[ApiKeyId], at: DateTime<Utc>) -> DbResult<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let query = diesel::sql_query(
        "UPDATE api_keys SET disabled_at = $2, guarded_mac = coalesce(guarded_mac, mac), mac = '' \
         WHERE id = ANY ($1) AND disabled_at IS NULL AND revoked_at IS NULL",
    );
    let query = query.bind::<Array<SqlUuid>, _>(ids).bind::<Timestamptz, _>(at);
    tx.tx.execute(query).await?;
    Ok(())
}

/// Lets a disabled key work again.
pub async fn enable(tx: &mut TenantTx, id: ApiKeyId) -> DbResult<Option<ApiKeyRow>> {
    let row = diesel::update(api_keys::table.find(id.uuid()));
    tx.tx.execute(row.set(api_keys::disabled_at.eq(None::<DateTime<Utc>>))).await?;
    find(tx, id).await
}

/// Notes that a key was reported as leaked.
pub async fn mark_leaked(tx: &mut TenantTx, id: ApiKeyId, at: DateTime<Utc>) -> DbResult<()> {
    let row = diesel::update(api_keys::table.find(id.uuid()));
    tx.tx.execute(row.set(api_keys::leaked_at.eq(at))).await?;
    Ok(())
}
