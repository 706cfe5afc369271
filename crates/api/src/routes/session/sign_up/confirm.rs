//! Confirm a sign-up.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::AuthError;
use bulkhead_db::{PlatformTx, platform::sign_ups};
use bulkhead_domain::Slug;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    OFF,
    create::{make, plan_of},
};
use crate::{
    http::{
        answer::Answer,
        context,
        error::ApiError,
        extract::{Json, RequestBody},
        state::AppState,
    },
    routes::newcomers::no_good,
};

/// What the mail has brought, and the password of the sign-up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmSignUpRequest {
    /// The token in the mail.
    #[schema(example = "bh_su_…")]
    token: String,
    /// The password that you have signed up with.
    #[schema(format = Password, example = "correct horse battery staple")]
    password: String,
}

impl RequestBody for ConfirmSignUpRequest {}

/// Confirm a sign-up
///
/// The tenant is built in the background, which takes a moment; then log in. When somebody has taken the slug meanwhile, sign up with
/// another one.
#[utoipa::path(
    post, path = "/v1/tenants/confirm", tag = "auth", request_body = ConfirmSignUpRequest,
    responses((status = 202, description = "Confirmed.")),
)]
pub(crate) async fn confirm_sign_up(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<ConfirmSignUpRequest>,
) -> Result<Answer, ApiError> {
    let options = state.options.sign_up.as_ref().ok_or(OFF)?;
    let ConfirmSignUpRequest { token, password } = body;
    let presented = state.presented(&request);
    presented.ask().map_err(|retry_after| ApiError::RateLimited { retry_after })?;
    let at = state.clock.now();
    let found = state.authenticator.find_sign_up(&state.db, &token).await;
    let (token, signed_up) = presented.settle(found).map_err(|error| match error {
        ApiError::LoginFailed => no_good(),
        other => other,
    })?;
    let (subject, group, hash) = (token.id.to_string(), token.id.uuid(), signed_up.password_hash.clone());
    let from = presented.address();
    let checked = state.authenticator.check_own_password(&subject, group, from, &password, hash, at).await;
    checked.map_err(|error| match error {
        AuthError::Invalid => ApiError::field("/password", "is not the password of this sign-up"),
        other => other.into(),
    })?;
    let mac = token.mac(&state.keyring);
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let confirm = async |tx: &mut PlatformTx| {
        let spent = sign_ups::spend(tx, token.id, &mac).await?;
        if spent.as_ref() != Some(&signed_up) {
            return Err(no_good());
        }
        let plan = plan_of(tx, options).await?;
        let slug = signed_up.slug.parse::<Slug>().map_err(ApiError::internal)?;
        let owner = (&slug, signed_up.name.as_str(), signed_up.email.as_str(), &*signed_up.password_hash);
        make(tx, &context, owner, plan, at).await
    };
    state.authenticator.write_sign_up(&state.db, confirm).await?;
    Ok(Answer::received())
}
