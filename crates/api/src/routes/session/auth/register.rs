//! Register with a tenant.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{LinkKind, OpenTenant, Password, PasswordOwner};
use bulkhead_db::{
    DbError, DbResult, TenantTx,
    tenant::{
        caps::{self, Capped},
        one_time_tokens::{self, NewMailed, TokenPurpose},
        settings::{self, Registration},
        users,
    },
};
use bulkhead_domain::{Email, OneTimeTokenId, Slug, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    http::{
        answer::Answer,
        context::{self, Context},
        error::ApiError,
        extract::{Json, RequestBody},
        state::AppState,
        validation::Fields,
    },
    routes::newcomers::{ask_for_mail, in_future, link_token, record, role_of},
};

/// How long a registration can be confirmed.
const LIFE: TimeDelta = TimeDelta::days(1);

/// Who registers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterRequest {
    /// The tenant's slug.
    #[schema(example = "acme")]
    tenant: String,
    /// Your address. It is kept in lower case, an internationalized domain as its DNS name (`xn--…`).
    #[schema(max_length = 254, example = "grace@example.com")]
    email: String,
    /// Your password, 8 to 256 characters; the platform may ask for more than 8.
    #[schema(min_length = 8, max_length = 256, format = Password, example = "correct horse battery staple")]
    password: String,
}

impl RequestBody for RegisterRequest {}

/// Register with a tenant
///
/// Where the tenant lets people register (`/v1/settings/registration`). The answer is always the same: it does not tell whether there is
/// such a tenant, whether it lets you in, or whether the address has an account. Where the platform sends mail, a mail tells what
/// comes next, at most one in five minutes: confirm with the token in it and with this password
/// (`/v1/auth/register/confirm`). Without mail, log in.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "auth", request_body = RegisterRequest,
    responses((status = 202, description = "Received.")),
)]
pub(crate) async fn register(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<RegisterRequest>,
) -> Result<Answer, ApiError> {
    let (email, password) = parse(&body, &state)?;
    let presented = state.presented(&request);
    presented.spend()?;
    let found = state.authenticator.find_open_tenant(&state.db, &body.tenant).await?;
    // Whatever was found: how long the answer takes tells nothing.
    let hash = state.authenticator.hash_for_stranger(&body.tenant, presented.address(), password).await?;
    state.metrics.auth.stored_passwords.inc();
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    if let Some(OpenTenant { tenant }) = found {
        let (state, context, at) = (&state, &context, state.clock.now());
        let newcomer = Registering { state, context, at, email: &email, hash: &hash };
        let written = state.db.write(tenant, async |tx| newcomer.let_in(tx, tenant.get()).await).await;
        match written {
            // Two at once: there is one account.
            Ok(()) | Err(DbError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Answer::received())
}

fn parse(body: &RegisterRequest, state: &AppState) -> Result<(Email, Password), ApiError> {
    let mut fields = Fields::default();
    let email = fields.take("/email", body.email.parse::<Email>());
    let slug = body.tenant.parse::<Slug>().ok();
    let owner = PasswordOwner { email: email.as_ref(), tenant: slug.as_ref() };
    let password = fields.take("/password", state.options.password_rules.admit(&body.password, &owner));
    fields.finish()?;
    email.zip(password).ok_or_else(|| ApiError::internal("a field that was refused"))
}

/// Somebody who registers with a tenant that there is.
struct Registering<'a> {
    state: &'a AppState,
    context: &'a Context,
    at: DateTime<Utc>,
    email: &'a Email,
    hash: &'a str,
}

impl Registering<'_> {
    async fn let_in(&self, tx: &mut TenantTx, tenant: bulkhead_domain::TenantId) -> DbResult<()> {
        let setting = settings::lock_registration(tx).await?.value;
        if !setting.enabled || !setting.admits(self.email.as_str()) {
            return Ok(());
        }
        let has_account = users::is_taken(tx, self.email.as_str()).await?;
        match self.state.options.mails_per_hour {
            Some(per_hour) => self.write_to(tx, tenant, per_hour, has_account).await,
            // Nobody has shown that an address of these domains is theirs.
            None if has_account || !setting.domains.is_empty() => Ok(()),
            None => self.make(tx, &setting).await,
        }
    }

    /// Whether there is an account or not, a row is written and a mail asked for: both take the same time.
    async fn write_to(
        &self,
        tx: &mut TenantTx,
        tenant: bulkhead_domain::TenantId,
        per_hour: u32,
        has_account: bool,
    ) -> DbResult<()> {
        let purpose = if has_account { TokenPurpose::AlreadyRegistered } else { TokenPurpose::Registration };
        let (id, email) = (OneTimeTokenId::mint(self.at), Some(self.email.as_str()));
        if one_time_tokens::was_just_sent(tx, purpose, email, None).await? {
            return Ok(());
        }
        if !ask_for_mail(tx, per_hour, id, self.at).await? {
            tracing::warn!("a registration was dropped: the tenant's mails of this hour are used up");
            return Ok(());
        }
        let expires_at = in_future(self.at, LIFE);
        let (_, mac) = link_token(self.state, LinkKind::Registration, tenant, id, expires_at);
        let subject = id.to_string();
        let new = NewMailed {
            id,
            purpose,
            user: None,
            email,
            role: None,
            password_hash: (!has_account).then_some(self.hash),
            mac: &mac,
            created_by: &subject,
            at: self.at,
            expires_at,
        };
        one_time_tokens::insert_mailed(tx, &new).await?;
        record(tx, self.context, self.at, &subject, &subject, json!({ "email": self.email })).await
    }

    /// Makes the account at once, where no mail leaves.
    async fn make(&self, tx: &mut TenantTx, setting: &Registration) -> DbResult<()> {
        let Some(role) = role_of(tx, self.state.access(), setting).await? else { return Ok(()) };
        if caps::claim(tx, Capped::Users).await?.is_reached() {
            return Ok(());
        }
        let id = UserId::mint(self.at);
        users::insert(tx, id, self.email.as_str(), self.hash, role, self.at).await?;
        let (subject, changes) = (id.to_string(), json!({ "email": self.email, "role": role }));
        record(tx, self.context, self.at, &subject, &subject, changes).await
    }
}
