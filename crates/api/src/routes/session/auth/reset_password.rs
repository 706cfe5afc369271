//! Set a new password with a token that an administrator has given out.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{OperatorResetToken, PasswordOwner, Request, Reset, operator_secrets::OperatorReset};
use bulkhead_db::{
    TenantTx,
    gate::revocations::{Revoked, revoke},
    tenant::{
        audit::{self, Entry},
        one_time_tokens, sessions, users,
    },
};
use bulkhead_domain::Email;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    http::{
        answer::Answer,
        context,
        error::ApiError,
        extract::{Json, RequestBody},
        state::AppState,
    },
    routes::tenant::refuse_own_slug,
};

/// A token and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetPasswordRequest {
    /// The `token` that an administrator has got for you.
    #[schema(example = "bh_pr_…")]
    token: String,
    /// The new password, 8 to 256 characters.
    #[schema(min_length = 8, max_length = 256, format = Password, example = "a longer sentence that nobody guesses")]
    new_password: String,
}

impl RequestBody for ResetPasswordRequest {}

/// A made-up token, one that was used and one that is too old are told the same.
fn no_good() -> ApiError {
    ApiError::field("/token", "is not valid: it was used, replaced or has expired, or never was one")
}

fn told(error: ApiError) -> ApiError {
    match error {
        ApiError::LoginFailed => no_good(),
        other => other,
    }
}

/// Sets the password of an operator.
async fn reset_operator(
    state: &AppState,
    token: &OperatorResetToken,
    email: &str,
    password: &str,
    by: &OperatorReset<'_>,
) -> Result<Answer, ApiError> {
    let email = Email::for_login(email);
    let owner = PasswordOwner { email: email.as_ref(), tenant: None };
    let new = state.options.password_rules.admit(password, &owner);
    let new = new.map_err(|error| ApiError::field("/new_password", error))?;
    let hash = state.hash(token.operator.uuid(), new).await?;
    let is_set = state.authenticator.set_operator_password(&state.db, token, &hash, by).await?;
    if is_set { Ok(Answer::no_content()) } else { Err(no_good()) }
}

/// Set a new password
///
/// The token works once. All your sessions end; log in with the new password. Operators set their first one in this way, too.
#[utoipa::path(
    post, path = "/v1/auth/password/reset", tag = "auth", request_body = ResetPasswordRequest,
    responses((status = 204, description = "Set.")),
)]
pub(crate) async fn reset_password(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<ResetPasswordRequest>,
) -> Result<Answer, ApiError> {
    let ResetPasswordRequest { token, new_password } = body;
    let presented = state.presented(&request);
    let at = state.clock.now();
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let address = state.client(&request).to_string();
    let of_operator = state.authenticator.find_operator_reset(&state.db, &token, at).await;
    if let Some((token, email)) = presented.settle(of_operator).map_err(told)? {
        let by = OperatorReset {
            request: Request { id: context.id.as_str(), address: &address },
            action: context.operation,
            at,
        };
        return reset_operator(&state, &token, &email, &new_password, &by).await;
    }
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let found = state.authenticator.find_reset(&state.db, &token, admit, at).await;
    let (Reset { tenant, user, .. }, token) = presented.settle(found).map_err(told)?;
    let check = async |tx: &mut TenantTx| {
        let email = users::find(tx, user).await?.and_then(|user| Email::for_login(&user.email));
        let owner = PasswordOwner { email: email.as_ref(), tenant: None };
        let new = state.options.password_rules.admit(&new_password, &owner);
        let new = new.map_err(|error| ApiError::field("/new_password", error))?;
        refuse_own_slug(tx, "/new_password", &new).await?;
        Ok::<_, ApiError>(new)
    };
    let new = state.db.snapshot(tenant, check).await?;
    let hash = state.hash(tenant.get().uuid(), new).await?;
    let mac = token.mac(&state.keyring);
    let set = async |tx: &mut _| {
        // The person's row first, as every transaction that changes a person locks it before their tokens.
        revoke(tx, Revoked::User(user)).await?;
        if one_time_tokens::spend_reset(tx, token.id, &mac).await? != Some(user) {
            return Err(no_good());
        }
        if !users::set_password_hash(tx, user, None, &hash, at).await? {
            return Err(no_good());
        }
        let ended = sessions::end_others(tx, user, None).await?;
        let subject = user.to_string();
        let entry = Entry {
            at,
            actor: &subject,
            act: None,
            action: context.operation,
            target: &subject,
            request_id: context.id.as_str(),
            address: Some(&address),
            changes: json!({ "sessions_ended": ended.len() }),
        };
        Ok(audit::record(tx, &entry).await?)
    };
    state.db.write(tenant, set).await?;
    Ok(Answer::no_content())
}
