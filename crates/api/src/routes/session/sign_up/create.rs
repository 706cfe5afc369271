//! Sign a tenant up.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{LinkKind, LinkToken, Password, PasswordOwner, SessionOwner};
use bulkhead_db::{
    PlatformTx,
    platform::{
        audit, plans, queue,
        sign_ups::{self, NewSignUp},
        tenants::{self, NewTenant},
    },
    tenant::audit::Entry,
};
use bulkhead_domain::{Email, OneTimeTokenId, PlanName, Slug, Text, UserId};
use bulkhead_jobs::{ProvisionTenant, SendSignUpMail};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::OFF;
use crate::{
    http::{
        answer::Answer,
        context::{self, Context},
        error::ApiError,
        extract::{Json, RequestBody},
        state::{AppState, SignUpOptions},
        validation::{Fields, taken},
    },
    routes::newcomers::{in_future, until_next_hour},
};

/// How long a sign-up can be confirmed.
const LIFE: TimeDelta = TimeDelta::days(1);

/// A tenant and its first owner.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUpRequest {
    /// The name it logs in with: 3 to 40 lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,38}[a-z0-9]$", example = "acme")]
    slug: String,
    /// The name people read.
    #[schema(min_length = 1, max_length = 200, example = "Acme Corporation")]
    name: String,
    /// The first owner's address. It is kept in lower case, an internationalized domain as its DNS name (`xn--…`).
    #[schema(max_length = 254, example = "owner@acme.example")]
    email: String,
    /// The first owner's password, 8 to 256 characters; the platform may ask for more than 8.
    #[schema(min_length = 8, max_length = 256, format = Password, example = "correct horse battery staple")]
    password: String,
}

impl RequestBody for SignUpRequest {}

/// Sign a tenant up
///
/// Where the platform lets tenants do so. It begins with the platform's plan for that. Where the platform sends mail, nothing is set up
/// until the address is confirmed: with the token that it gets, at most one in five minutes, and with this password
/// (`/v1/tenants/confirm`). Without mail, log in as soon as the tenant is built, which takes a moment.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "auth", request_body = SignUpRequest,
    responses((status = 202, description = "Received.")),
)]
pub(crate) async fn sign_up(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<SignUpRequest>,
) -> Result<Answer, ApiError> {
    let options = state.options.sign_up.as_ref().ok_or(OFF)?;
    let wanted = Wanted::parse(&body, &state)?;
    let presented = state.presented(&request);
    presented.spend()?;
    let from = presented.address();
    let hash = state.authenticator.hash_for_stranger(&body.slug, from, wanted.password.clone()).await?;
    state.metrics.auth.stored_passwords.inc();
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let at = state.clock.now();
    let write = async |tx: &mut PlatformTx| {
        if tenants::is_taken(tx, &wanted.slug).await? {
            return Err(ApiError::Taken { what: "slug" });
        }
        let sends_mail = state.options.mails_per_hour.is_some();
        if sends_mail && sign_ups::was_just_sent(tx, wanted.email.as_str(), at).await? {
            return Ok(());
        }
        if !sign_ups::take_share(tx, options.per_hour).await? {
            return Err(until_next_hour(at));
        }
        if sends_mail {
            ask(tx, &state, &context, &wanted, &hash, at).await
        } else {
            let plan = plan_of(tx, options).await?;
            let Wanted { slug, name, email, .. } = &wanted;
            make(tx, &context, (slug, name.as_str(), email.as_str(), &hash), plan, at).await
        }
    };
    state.authenticator.write_sign_up(&state.db, write).await?;
    Ok(Answer::received())
}

/// A request whose every field holds.
struct Wanted {
    slug: Slug,
    name: Text<200>,
    email: Email,
    password: Password,
}

impl Wanted {
    fn parse(body: &SignUpRequest, state: &AppState) -> Result<Self, ApiError> {
        let mut fields = Fields::default();
        let slug = fields.take("/slug", Slug::for_new_tenant(&body.slug));
        let name = fields.take("/name", body.name.parse::<Text<200>>());
        let email = fields.take("/email", body.email.parse::<Email>());
        let owner = PasswordOwner { email: email.as_ref(), tenant: slug.as_ref() };
        let password = fields.take("/password", state.options.password_rules.admit(&body.password, &owner));
        fields.finish()?;
        let all = slug.zip(name).zip(email.zip(password));
        let ((slug, name), (email, password)) =
            all.ok_or_else(|| ApiError::internal("a field that was refused"))?;
        Ok(Self { slug, name, email, password })
    }
}

/// The plan of tenants that sign themselves up.
pub(super) async fn plan_of(tx: &mut PlatformTx, options: &SignUpOptions) -> Result<PlanName, ApiError> {
    plans::find(tx, &options.plan)
        .await?
        .map_err(|unknown| ApiError::internal(format!("BULKHEAD_SIGNUP_PLAN: {} {unknown}", options.plan)))
}

/// Keeps what is wanted until the address is confirmed, and asks for the mail.
async fn ask(
    tx: &mut PlatformTx,
    state: &AppState,
    context: &Context,
    wanted: &Wanted,
    hash: &str,
    at: DateTime<Utc>,
) -> Result<(), ApiError> {
    let (id, expires_at) = (OneTimeTokenId::mint(at), in_future(at, LIFE));
    let token = LinkToken::of(&state.keyring, LinkKind::SignUp, SessionOwner::Operator, id, expires_at);
    let Wanted { slug, name, email, .. } = wanted;
    let new = NewSignUp {
        id,
        slug,
        name: name.as_str(),
        email: email.as_str(),
        password_hash: hash,
        mac: &token.mac(&state.keyring),
        at,
        expires_at,
    };
    sign_ups::insert(tx, &new).await?;
    queue::enqueue(tx, &SendSignUpMail { sign_up: id }, None, None, at).await?;
    record(tx, context, at, &id.to_string(), json!({ "slug": slug.as_str() })).await
}

/// Makes the tenant, and asks for the job that builds it.
pub(super) async fn make(
    tx: &mut PlatformTx,
    context: &Context,
    (slug, name, email, hash): (&Slug, &str, &str, &str),
    plan: PlanName,
    at: DateTime<Utc>,
) -> Result<(), ApiError> {
    let owner = UserId::mint(at);
    let (owner_email, owner_password_hash) = (email, hash);
    let new = NewTenant { id: None, slug, name, plan, owner, owner_email, owner_password_hash, at };
    let tenant = tenants::insert(tx, &new).await.map_err(taken("slug"))?;
    queue::enqueue(tx, &ProvisionTenant { tenant: tenant.id }, Some(tenant.id), None, at).await?;
    let changes = json!({ "slug": tenant.slug, "plan": tenant.plan });
    record(tx, context, at, &tenant.id.to_string(), changes).await
}

/// Adds an entry to the operators' audit log. A stranger has no name: the actor is what they have made.
async fn record(
    tx: &mut PlatformTx,
    context: &Context,
    at: DateTime<Utc>,
    target: &str,
    changes: serde_json::Value,
) -> Result<(), ApiError> {
    let address = context.client.to_string();
    let entry = Entry {
        at,
        actor: target,
        act: None,
        action: context.operation,
        target,
        request_id: context.id.as_str(),
        address: Some(&address),
        changes,
    };
    Ok(audit::record(tx, &entry).await?)
}
