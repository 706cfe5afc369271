//! Taking trust back: credentials that other nodes may have cached.

use bulkhead_domain::{ApiKeyId, SessionId, UserId};
use diesel::sql_types::{Text, Uuid as SqlUuid};

use crate::{error::DbResult, scope::TenantTx};

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

/// Tells every node, within seconds of the commit, to stop trusting what it has cached.
pub async fn revoke(tx: &mut TenantTx, revoked: Revoked) -> DbResult<()> {
    let (kind, id) = match revoked {
        Revoked::User(id) => ("user", id.uuid()),
        Revoked::ApiKey(id) => ("api_key", id.uuid()),
        Revoked::Session(id) => ("session", id.uuid()),
    };
    let call = diesel::sql_query("SELECT gate.revoke($1, $2)").bind::<Text, _>(kind).bind::<SqlUuid, _>(id);
    tx.tx.execute(call).await?;
    Ok(())
}
