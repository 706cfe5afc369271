//! Confirm a registration.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{AuthError, Newcomer};
use bulkhead_db::{
    TenantTx,
    tenant::{
        caps::{self, Capped},
        one_time_tokens::{self, TokenPurpose},
        settings, users,
    },
};
use bulkhead_domain::UserId;
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
        validation::taken,
    },
    routes::{
        newcomers::{no_good, record, role_of},
        tenant::{has_room, users::UserResponse},
    },
};

/// What the mail has brought, and the password of the registration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmRegistrationRequest {
    /// The token in the mail.
    #[schema(example = "bh_rg_…")]
    token: String,
    /// The password that you have registered with.
    #[schema(format = Password, example = "correct horse battery staple")]
    password: String,
}

impl RequestBody for ConfirmRegistrationRequest {}

/// Confirm a registration
///
/// Makes you a user of the tenant. It takes both what the mailbox has got and what was registered with: a stranger who has
/// registered your address cannot confirm it, and you do not confirm the password of a stranger.
#[utoipa::path(
    post, path = "/v1/auth/register/confirm", tag = "auth", request_body = ConfirmRegistrationRequest,
    responses((status = 201, description = "Confirmed.", body = UserResponse)),
)]
pub(crate) async fn confirm_registration(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<ConfirmRegistrationRequest>,
) -> Result<Answer, ApiError> {
    let ConfirmRegistrationRequest { token, password } = body;
    let presented = state.presented(&request);
    let at = state.clock.now();
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let purpose = TokenPurpose::Registration;
    let found = state.authenticator.find_newcomer(&state.db, purpose, &token, admit, at).await;
    let Newcomer { tenant, token, pending } = presented.settle(found).map_err(|error| match error {
        ApiError::LoginFailed => no_good(),
        other => other,
    })?;
    let hash = pending.password_hash.clone().ok_or_else(no_good)?;
    let (subject, group) = (token.id.to_string(), tenant.get().uuid());
    let checked = state
        .authenticator
        .check_own_password(&subject, group, presented.address(), &password, hash.clone(), at)
        .await;
    checked.map_err(|error| match error {
        AuthError::Invalid => ApiError::field("/password", "is not the password of this registration"),
        other => other.into(),
    })?;
    let mac = token.mac(&state.keyring);
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let id = UserId::mint(at);
    let confirm = async |tx: &mut TenantTx| {
        let setting = settings::lock_registration(tx).await?.value;
        if !setting.enabled || !setting.admits(&pending.email) {
            return Err(no_good());
        }
        let spent = one_time_tokens::spend_pending(tx, purpose, token.id, &mac).await?;
        if spent.as_ref() != Some(&pending) {
            return Err(no_good());
        }
        let role = role_of(tx, state.access(), &setting).await?.ok_or_else(no_good)?;
        has_room(&caps::claim(tx, Capped::Users).await?)?;
        let user = users::insert(tx, id, &pending.email, &hash, role, at).await;
        let user = user.map_err(taken("e-mail address"))?;
        let changes = json!({ "email": user.email, "role": user.role, "registration": token.id });
        record(tx, &context, at, &id.to_string(), &id.to_string(), changes).await?;
        let version = user.version;
        Ok(Answer::created(format!("/v1/users/{id}"), &UserResponse::from(user))?.version(version))
    };
    state.db.write(tenant, confirm).await
}
