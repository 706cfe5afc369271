//! Report an API key that was found where none belongs.
//!
//! Owns the revocation of a key by anyone who holds all of it: they could use it, so they can end it. Refuses to tell whether a
//! text is a key, or was one: the answer is the same, and each text that is none is charged to its sender like a guess.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{AuthError, Leaked};
use bulkhead_db::{
    TenantTx,
    gate::revocations::{Revoked, announce_change, revoke},
    tenant::{
        api_keys::{self, Grantor, Lock, Tree},
        audit::{self, Entry},
    },
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::http::{
    answer::Answer,
    context,
    error::ApiError,
    extract::{Json, RequestBody},
    state::AppState,
};

/// The longest text that is looked at. A key has about a hundred characters.
const LONGEST: usize = 256;

/// A key that was found.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportLeakedKeyRequest {
    /// The whole key.
    #[schema(
        min_length = 1,
        max_length = 256,
        example = "bh_live_0dK7xIv2VZ3bqkPbq0ZlfVxH0h1cUrXh8sQnq3FJ5Wm_…"
    )]
    key: String,
}

impl RequestBody for ReportLeakedKeyRequest {}

/// Report a leaked API key
///
/// Anyone who presents a key ends it: it is revoked within seconds, on every node, and keys that were made with it are disabled. A
/// secret that was rotated out and still works ends alone. The answer is the same whether there is such a key or not.
#[utoipa::path(
    post, path = "/v1/auth/keys/leaked", tag = "auth", request_body = ReportLeakedKeyRequest,
    responses((status = 204, description = "Taken note of.")),
)]
pub(crate) async fn report_leaked_key(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<ReportLeakedKeyRequest>,
) -> Result<Answer, ApiError> {
    let presented = state.presented(&request);
    // Before anything else, so that a caller who has failed too often learns nothing of any text.
    presented.ask().map_err(|retry_after| ApiError::RateLimited { retry_after })?;
    if !(1..=LONGEST).contains(&body.key.len()) {
        return Err(ApiError::field("/key", format!("must be at most {LONGEST} bytes long, and not empty")));
    }
    let at = state.clock.now();
    match state.authenticator.recognise_leaked(&state.db, &body.key, || Ok(()), at).await {
        Ok(leaked) => {
            let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
            let address = state.client(&request).to_string();
            let end = async |tx: &mut TenantTx| {
                let Some((revoked, changes)) = end(tx, &state, &leaked, at).await? else { return Ok(()) };
                let subject = leaked.id.to_string();
                let entry = Entry {
                    at,
                    actor: &subject,
                    act: None,
                    action: context.operation,
                    target: &subject,
                    request_id: context.id.as_str(),
                    address: Some(&address),
                    changes,
                };
                audit::record(tx, &entry).await?;
                revoke(tx, revoked).await?;
                announce_change(tx).await?;
                Ok::<_, ApiError>(())
            };
            state.db.write(leaked.tenant, end).await?;
        }
        Err(AuthError::Lapsed) => {}
        Err(AuthError::Invalid) => presented.charge(),
        Err(error) => return Err(error.into()),
    }
    Ok(Answer::no_content())
}

/// Ends the secret that was presented, and says what that was; `None` when it was over before.
async fn end(
    tx: &mut TenantTx,
    state: &AppState,
    leaked: &Leaked,
    at: DateTime<Utc>,
) -> Result<Option<(Revoked, Value)>, ApiError> {
    let id = leaked.id;
    let key = api_keys::lock(tx, &[id], Lock::Change).await?.pop().filter(|key| key.revoked_at.is_none());
    let (Some(_), Some(secrets)) = (key, api_keys::secrets(tx, id).await?) else { return Ok(None) };
    if leaked.is(&state.keyring, &secrets.mac) {
        api_keys::revoke(tx, id, at).await?;
        api_keys::mark_leaked(tx, id, at).await?;
        let below = Tree::below(Grantor::Key(id), api_keys::living(tx).await?).ids();
        api_keys::disable(tx, &below, at).await?;
        return Ok(Some((Revoked::ApiKey(id), json!({ "key": true, "keys_disabled": below.len() }))));
    }
    // Locked since the text was recognised, it may have been rotated once more: then that secret is over already.
    let is_previous = |(mac, until): &(Vec<u8>, DateTime<Utc>)| *until > at && leaked.is(&state.keyring, mac);
    if secrets.previous.as_ref().is_some_and(is_previous) {
        api_keys::end_previous(tx, id, at).await?;
        return Ok(Some((Revoked::ApiKey(id), json!({ "previous_secret": true }))));
    }
    Ok(None)
}
