//! Taking trust back: credentials that other nodes may have cached.
//!
//! A token is proven under a lock on its person's row and counts from the database's time then; so a revocation has to
//! lock that row, too, before its time is taken. [`revoke`] does, whatever its caller has locked before.

use bulkhead_domain::{ApiKeyId, SessionId, UserId};
use diesel::{
    prelude::*,
    sql_types::{Text, Uuid as SqlUuid},
};

use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::tenant::{api_keys, sessions, users},
};

/// Whose credentials are no longer good.
#[derive(Clone, Copy, Debug)]
pub enum Revoked {
    /// Every token of a person.
    User(UserId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// Every token of one session.
    Session(SessionId),
}

/// Tells every node, within seconds of the commit, that what it remembers of the tenant is out of date: what its roles and its API
/// keys hold. The last statement of a transaction that has changed one of them, or what a person holds who has granted keys:
/// transactions of one tenant wait for each other here.
pub async fn announce_change(tx: &mut TenantTx) -> DbResult<()> {
    tx.tx.execute(diesel::sql_query("SELECT gate.announce_change()")).await?;
    Ok(())
}

/// Tells every node, within seconds of the commit, to stop trusting what it has cached. A row that is gone was locked by
/// the statement of this transaction that has deleted it.
pub async fn revoke(tx: &mut TenantTx, revoked: Revoked) -> DbResult<()> {
    let (kind, id) = match revoked {
        Revoked::User(id) => ("user", id.uuid()),
        Revoked::ApiKey(id) => ("api_key", id.uuid()),
        Revoked::Session(id) => ("session", id.uuid()),
    };
    let _locked: Option<uuid::Uuid> = match revoked {
        Revoked::User(_) => tx.tx.first(users::table.find(id).select(users::id).for_no_key_update()).await?,
        Revoked::ApiKey(_) => {
            tx.tx.first(api_keys::table.find(id).select(api_keys::id).for_no_key_update()).await?
        }
        Revoked::Session(_) => {
            tx.tx.first(sessions::table.find(id).select(sessions::id).for_no_key_update()).await?
        }
    };
    let call = diesel::sql_query("SELECT gate.revoke($1, $2)").bind::<Text, _>(kind).bind::<SqlUuid, _>(id);
    tx.tx.execute(call).await?;
    Ok(())
}
