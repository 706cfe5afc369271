//! What the ways in have in common: invitations, registrations and new passwords by mail.

use std::time::Duration;

use bulkhead_auth::{
    GrantError, Grants, LinkKind, LinkToken, SessionOwner,
    grants::{Caller, Hold},
};
use bulkhead_db::{
    DbResult, TenantTx,
    gate::{jobs, mails},
    tenant::{
        audit::{self, Entry},
        one_time_tokens::Pending,
        roles,
        settings::Registration,
    },
};
use bulkhead_domain::{AccessRegistry, OneTimeTokenId, RoleName, TenantId, permission::WRITE_USERS};
use bulkhead_jobs::SendMail;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde_json::Value;

use crate::http::{context::Context, error::ApiError, state::AppState};

/// A made-up token, one that was used or taken back, and one that is too old are told the same.
pub(crate) fn no_good() -> ApiError {
    ApiError::field(
        "/token",
        "is not valid: it was used, replaced, taken back or has expired, or never was one",
    )
}

/// When a token that is made now stops working: what is stored of it has no more digits than this.
pub(crate) fn in_future(at: DateTime<Utc>, life: TimeDelta) -> DateTime<Utc> {
    let until = at + life;
    until.duration_trunc(TimeDelta::seconds(1)).unwrap_or(until)
}

/// The token of a row in a tenant's schema, and what is stored of it.
pub(crate) fn link_token(
    state: &AppState,
    kind: LinkKind,
    tenant: TenantId,
    id: OneTimeTokenId,
    expires_at: DateTime<Utc>,
) -> (LinkToken, [u8; 32]) {
    let token = LinkToken::of(&state.keyring, kind, SessionOwner::Tenant(tenant), id, expires_at);
    let mac = token.mac(&state.keyring);
    (token, mac)
}

/// Asks for the mail about a token, in the transaction that makes it, unless the tenant has used its share up; whether it was asked
/// for.
pub(crate) async fn ask_for_mail(
    tx: &mut TenantTx,
    per_hour: u32,
    token: OneTimeTokenId,
    at: DateTime<Utc>,
) -> DbResult<bool> {
    if !mails::take(tx, per_hour).await? {
        return Ok(false);
    }
    jobs::enqueue(tx, &SendMail { token }, None, at).await?;
    Ok(true)
}

/// What a caller is told who has used the share of this hour up.
pub(crate) fn until_next_hour(at: DateTime<Utc>) -> ApiError {
    let next = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at) + TimeDelta::hours(1);
    let retry_after = (next - at).to_std().unwrap_or(Duration::from_secs(1));
    ApiError::RateLimited { retry_after }
}

/// The role that people who register get, if there is one of that name; it is not changed or removed until the transaction ends.
pub(crate) async fn role_of(
    tx: &mut TenantTx,
    access: &AccessRegistry,
    registration: &Registration,
) -> DbResult<Option<RoleName>> {
    let Ok(role) = access.read_role(&registration.role) else { return Ok(None) };
    if access.is_built_in(role) || !roles::lock_shared(tx, &[role]).await?.is_empty() {
        return Ok(Some(role));
    }
    Ok(None)
}

/// Whether the maker of an invitation may still give its role, `own` being what they are, by rows that this transaction has locked.
pub(crate) async fn stands(
    tx: &mut TenantTx,
    access: &AccessRegistry,
    own: Option<Caller>,
    invited: &Pending,
) -> Result<RoleName, ApiError> {
    let role = invited.role.ok_or_else(no_good)?;
    let grants = Grants::read(tx, access, own, WRITE_USERS, &[role], Hold::Give).await;
    match grants.and_then(|grants| grants.may_give(role)) {
        Ok(()) => Ok(role),
        Err(GrantError::Database(error)) => Err(error.into()),
        Err(_) => Err(no_good()),
    }
}

/// Adds an entry to the audit log for a caller who has no credential.
pub(crate) async fn record(
    tx: &mut TenantTx,
    context: &Context,
    at: DateTime<Utc>,
    actor: &str,
    target: &str,
    changes: Value,
) -> DbResult<()> {
    let (action, request_id) = (context.operation, context.id.as_str());
    audit::record(tx, &Entry { at, actor, action, target, request_id, changes }).await
}
