//! Get a token with which a person sets a new password.

use bulkhead_auth::ResetToken;
use bulkhead_db::tenant::one_time_tokens::{self, NewReset};
use bulkhead_domain::{OneTimeTokenId, UserId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::update::within_reach;
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::{Id, IdempotencyKeyHeader},
};

/// How long a token works, in seconds: a day.
const SECONDS: i64 = 24 * 60 * 60;

/// A token for a new password.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordResetResponse {
    /// The token. It is shown this once; the person sends it to `/v1/auth/password/reset` with their new password.
    #[schema(example = "bh_pr_…")]
    token: String,
    /// When it stops working by itself.
    expires_at: DateTime<Utc>,
}

/// Reset a user's password
///
/// Makes a token that works once, for a day, and takes the place of those before it. Hand it to the person by a way that you
/// trust, best as a link to a page of yours: it sets the password for any holder. Until then nothing changes for them. You may
/// reset people alone whose role you may take away.
#[utoipa::path(
    post, path = "/v1/users/{id}/password-reset", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IdempotencyKeyHeader),
    responses((status = 201, description = "Made.", body = PasswordResetResponse)),
)]
pub(crate) async fn reset_user_password(call: TenantCall, Id(user): Id<UserId>) -> Result<Answer, ApiError> {
    let keyring = &call.state().keyring;
    let id = OneTimeTokenId::mint(call.at());
    let token = ResetToken::issue(keyring, call.tenant(), id).map_err(ApiError::internal)?;
    let mac = token.mac(keyring);
    call.write(async |tx| {
        // Locked, so that a role that is given at the same moment is given before this look or takes the token back.
        within_reach(tx, &call, user).await?;
        let new = NewReset { id, user, mac: &mac, created_by: call.subject(), seconds: SECONDS };
        let expires_at = one_time_tokens::insert_reset(tx, &new).await?;
        let view = PasswordResetResponse { token: token.reveal().to_owned(), expires_at };
        let answer = Answer::created(format!("/v1/users/{user}"), &view)?.showing_secret();
        Ok(Written::changed(user, json!({ "token": id, "expires_at": expires_at }), answer))
    })
    .await
}
