//! Invitations: people who are to be the tenant's, with the role that they will have. Their rows are one-time tokens.

use bulkhead_domain::{OneTimeTokenId, RoleName};
use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::{
    engine::{
        error::{DbError, DbResult},
        page::{Page, PageRequest},
        scope::TenantTx,
    },
    schema::{clock_timestamp, tenant::one_time_tokens},
    tenant::one_time_tokens::TokenPurpose,
};

/// An invitation that can be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: OneTimeTokenId,
    /// Who is invited.
    pub email: String,
    /// What they will be.
    pub role: RoleName,
    /// Who has sent it last: the subject of a credential.
    pub created_by: String,
    /// When that was.
    pub created_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: DateTime<Utc>,
}

type Row = (uuid::Uuid, Option<String>, Option<String>, String, DateTime<Utc>, DateTime<Utc>);

fn read((id, email, role, created_by, created_at, expires_at): Row) -> DbResult<Invitation> {
    let id = OneTimeTokenId::from_uuid(id);
    let unreadable = || DbError::Unreadable(format!("the invitation {id}"));
    let role = role.and_then(|role| role.parse().ok()).ok_or_else(unreadable)?;
    Ok(Invitation { id, email: email.ok_or_else(unreadable)?, role, created_by, created_at, expires_at })
}

macro_rules! invitations {
    () => {
        one_time_tokens::table
            .filter(one_time_tokens::purpose.eq(TokenPurpose::Invitation.as_str()))
            .filter(one_time_tokens::expires_at.gt(clock_timestamp()))
            .select((
                one_time_tokens::id,
                one_time_tokens::email,
                one_time_tokens::role,
                one_time_tokens::created_by,
                one_time_tokens::created_at,
                one_time_tokens::expires_at,
            ))
    };
}

/// The invitation with this id; `None` when it was accepted, revoked, or has expired.
pub async fn find(tx: &mut TenantTx, id: OneTimeTokenId) -> DbResult<Option<Invitation>> {
    let row: Option<Row> = tx.tx.first(invitations!().filter(one_time_tokens::id.eq(id.uuid()))).await?;
    row.map(read).transpose()
}

/// The same, locked until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: OneTimeTokenId) -> DbResult<Option<Invitation>> {
    let query = invitations!().filter(one_time_tokens::id.eq(id.uuid())).for_update();
    let row: Option<Row> = tx.tx.first(query).await?;
    row.map(read).transpose()
}

/// Invitations in the order in which their rows were begun.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> DbResult<Page<Invitation>> {
    let mut query = invitations!().order(one_time_tokens::id.asc()).limit(page.probe()).into_boxed();
    if let Some(after) = page.after {
        query = query.filter(one_time_tokens::id.gt(after));
    }
    let rows: Vec<Row> = tx.tx.load(query).await?;
    let rows = rows.into_iter().map(read).collect::<DbResult<Vec<_>>>()?;
    Ok(Page::cut(rows, page))
}

/// Gives an invitation another token, from now on in the name of `created_by`; the token before stops working.
pub async fn renew(
    tx: &mut TenantTx,
    id: OneTimeTokenId,
    mac: &[u8],
    created_by: &str,
    at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> DbResult<()> {
    let row = one_time_tokens::table
        .filter(one_time_tokens::id.eq(id.uuid()))
        .filter(one_time_tokens::purpose.eq(TokenPurpose::Invitation.as_str()));
    let change = (
        one_time_tokens::mac.eq(mac),
        one_time_tokens::created_by.eq(created_by),
        one_time_tokens::created_at.eq(at),
        one_time_tokens::expires_at.eq(expires_at),
    );
    tx.tx.execute(diesel::update(row).set(change)).await?;
    Ok(())
}
