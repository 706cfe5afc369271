//! Accept an invitation.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{Newcomer, PasswordOwner, grants::lock_subject};
use bulkhead_db::{
    TenantTx,
    tenant::{
        caps::{self, Capped},
        one_time_tokens::{self, TokenPurpose},
        users,
    },
};
use bulkhead_domain::{Email, UserId};
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
        newcomers::{no_good, record, stands},
        tenant::{has_room, refuse_own_slug, users::UserResponse},
    },
};

/// A token and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptInvitationRequest {
    /// The token of the invitation.
    #[schema(example = "bh_iv_…")]
    token: String,
    /// Your password, 8 to 256 characters.
    #[schema(min_length = 8, max_length = 256, format = Password, example = "a longer sentence that nobody guesses")]
    password: String,
}

impl RequestBody for AcceptInvitationRequest {}

/// Accept an invitation
///
/// Makes you a user of the tenant, with the role that you are invited with. The token works once; log in with your address and
/// the password.
#[utoipa::path(
    post, path = "/v1/auth/invitations/accept", tag = "auth", request_body = AcceptInvitationRequest,
    responses((status = 201, description = "Accepted.", body = UserResponse)),
)]
pub(crate) async fn accept_invitation(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<AcceptInvitationRequest>,
) -> Result<Answer, ApiError> {
    let AcceptInvitationRequest { token, password } = body;
    let presented = state.presented(&request);
    let at = state.clock.now();
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let purpose = TokenPurpose::Invitation;
    let found = state.authenticator.find_newcomer(&state.db, purpose, &token, admit, at).await;
    let Newcomer { tenant, token, pending } = presented.settle(found).map_err(|error| match error {
        ApiError::LoginFailed => no_good(),
        other => other,
    })?;
    let check = async |tx: &mut TenantTx| {
        let email = Email::for_login(&pending.email);
        let owner = PasswordOwner { email: email.as_ref(), tenant: None };
        let new = state.options.password_rules.admit(&password, &owner);
        let new = new.map_err(|error| ApiError::field("/password", error))?;
        refuse_own_slug(tx, "/password", &new).await?;
        has_room(&caps::look(tx, Capped::Users).await?)?;
        Ok::<_, ApiError>(new)
    };
    let new = state.db.snapshot(tenant, check).await?;
    let hash = state.hash(tenant.get().uuid(), new).await?;
    let mac = token.mac(&state.keyring);
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let id = UserId::mint(at);
    let accept = async |tx: &mut TenantTx| {
        // The inviter's row first, as every transaction that changes a person locks it before their tokens.
        let inviter = lock_subject(tx, &pending.created_by).await?;
        let spent = one_time_tokens::spend_pending(tx, purpose, token.id, &mac).await?;
        if spent.as_ref() != Some(&pending) {
            return Err(no_good());
        }
        let role = stands(tx, state.access(), inviter, &pending).await?;
        has_room(&caps::claim(tx, Capped::Users).await?)?;
        let user = users::insert(tx, id, &pending.email, &hash, role, at).await;
        let user = user.map_err(taken("e-mail address"))?;
        let changes = json!({ "email": user.email, "role": user.role, "invitation": token.id });
        record(tx, &context, at, &id.to_string(), &id.to_string(), changes).await?;
        let version = user.version;
        Ok(Answer::created(format!("/v1/users/{id}"), &UserResponse::from(user))?.version(version))
    };
    state.db.write(tenant, accept).await
}
