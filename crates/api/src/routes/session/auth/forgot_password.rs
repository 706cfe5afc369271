//! Ask for a new password by mail.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{LinkKind, OpenTenant};
use bulkhead_db::{
    DbResult, TenantTx,
    tenant::{
        one_time_tokens::{self, NewMailed, TokenPurpose},
        users,
    },
};
use bulkhead_domain::{Email, OneTimeTokenId, Proven, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use std::rc::Rc;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::{
    http::{
        answer::Answer,
        context::{self, Context},
        error::ApiError,
        extract::{Json, RequestBody},
        state::AppState,
    },
    routes::newcomers::{ask_for_mail, in_future, link_token, record},
};

/// How long the token works.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// How many requests of this process are worked on after their answer.
static UNDER_WAY: Semaphore = Semaphore::const_new(64);

pub(super) const NO_MAIL: ApiError = ApiError::WrongState(
    "No mail leaves this platform. Ask an administrator of your tenant for a token to set a new password with.",
);

/// Who has forgotten their password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgotPasswordRequest {
    /// The tenant's slug.
    #[schema(example = "acme")]
    tenant: String,
    /// Your address.
    #[schema(max_length = 254, example = "grace@example.com")]
    email: String,
}

impl RequestBody for ForgotPasswordRequest {}

/// Ask for a new password
///
/// If there is such an account, its address gets a mail with a token for `/v1/auth/password/reset`, which works once, for an hour;
/// at most one in five minutes. The answer is the same in any case, and comes before anything is looked up. It needs a platform that
/// sends mail.
#[utoipa::path(
    post, path = "/v1/auth/password/forgot", tag = "auth", request_body = ForgotPasswordRequest,
    responses((status = 202, description = "Received.")),
)]
pub(crate) async fn forgot_password(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<ForgotPasswordRequest>,
) -> Result<Answer, ApiError> {
    let per_hour = state.options.mails_per_hour.ok_or(NO_MAIL)?;
    state.presented(&request).spend()?;
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let at = state.clock.now();
    // Behind the answer, so that how long it takes does not tell whether there is an account.
    if let (Some(email), Ok(place)) = (Email::for_login(&body.email), UNDER_WAY.try_acquire()) {
        actix_web::rt::spawn(async move {
            let _place = place;
            let asked = Asked { state, context, per_hour, email, at };
            if let Err(error) = asked.answer(&body.tenant).await {
                tracing::warn!(%error, "a mail for a new password was not asked for");
            }
        });
    }
    Ok(Answer::received())
}

/// A request that was answered.
struct Asked {
    state: Data<AppState>,
    context: Rc<Context>,
    per_hour: u32,
    email: Email,
    at: DateTime<Utc>,
}

impl Asked {
    async fn answer(&self, tenant: &str) -> Result<(), ApiError> {
        let Some(OpenTenant { tenant }) =
            self.state.authenticator.find_open_tenant(&self.state.db, tenant).await?
        else {
            return Ok(());
        };
        Ok(self.state.db.write(tenant, async |tx| self.write(tx, tenant).await).await?)
    }

    async fn write(&self, tx: &mut TenantTx, tenant: Proven<TenantId>) -> DbResult<()> {
        let purpose = TokenPurpose::PasswordForgotten;
        let Some(user) = users::find_by_email(tx, self.email.as_str()).await? else { return Ok(()) };
        if one_time_tokens::was_just_sent(tx, purpose, None, Some(user)).await? {
            return Ok(());
        }
        let (id, expires_at) = (OneTimeTokenId::mint(self.at), in_future(self.at, LIFE));
        if !ask_for_mail(tx, self.per_hour, id, self.at).await? {
            tracing::warn!(
                "a mail for a new password was not sent: the tenant's mails of this hour are used up"
            );
            return Ok(());
        }
        let (_, mac) = link_token(&self.state, LinkKind::PasswordReset, tenant.get(), id, expires_at);
        let subject = id.to_string();
        let new = NewMailed {
            id,
            purpose,
            user: Some(user),
            email: None,
            role: None,
            password_hash: None,
            mac: &mac,
            created_by: &subject,
            at: self.at,
            expires_at,
        };
        one_time_tokens::insert_mailed(tx, &new).await?;
        let changes = json!({ "token": id, "expires_at": expires_at });
        record(tx, &self.context, self.at, &subject, &user.to_string(), changes).await
    }
}
