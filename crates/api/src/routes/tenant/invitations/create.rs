//! Invite a person.

use bulkhead_auth::{LinkKind, grants::Hold};
use bulkhead_db::{
    DbError,
    tenant::{
        caps::{self, Capped},
        invitations::Invitation,
        one_time_tokens::{self, NewMailed, TokenPurpose},
        users,
    },
};
use bulkhead_domain::{Email, OneTimeTokenId, RoleName, permission::WRITE_USERS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{INVITED, LIFE, SentInvitationResponse, TOO_MANY, by_mail};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody, present},
        validation::Fields,
    },
    routes::{
        newcomers::{ask_for_mail, in_future, link_token, until_next_hour},
        tenant::{grants, has_room, lock_caller, refused},
    },
};

/// Whom to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateInvitationRequest {
    /// Their address. It is kept in lower case, an internationalized domain as its DNS name (`xn--…`).
    #[schema(max_length = 254, example = "grace@example.com")]
    email: String,
    /// What they will be: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(example = "developer")]
    role: String,
    /// Whether to send it by mail. With false the answer has the token, to be handed over. Left out, it is sent where the platform
    /// sends mail.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = true)]
    mail: Option<bool>,
}

impl RequestBody for CreateInvitationRequest {}

/// Invite a person
///
/// They become a user when they accept, with a password that they choose (`/v1/auth/invitations/accept`). An invitation works
/// once, for seven days, and only as long as you may give its role: it ends with your removal or another role of yours, and when
/// you change your password. An address has one invitation at a time. Users count against the plan when they accept.
#[utoipa::path(
    post, path = "/v1/invitations", tag = "invitations", params(IdempotencyKeyHeader), request_body = CreateInvitationRequest,
    responses((status = 201, description = "Invited.", body = SentInvitationResponse)),
)]
pub(crate) async fn create_invitation(
    call: TenantCall,
    Json(body): Json<CreateInvitationRequest>,
) -> Result<Answer, ApiError> {
    let per_hour = by_mail(call.state(), body.mail)?;
    let (email, role) = parse(&call, &body)?;
    let (id, at) = (OneTimeTokenId::mint(call.at()), call.at());
    let expires_at = in_future(at, LIFE);
    let (token, mac) = link_token(call.state(), LinkKind::Invitation, call.tenant(), id, expires_at);
    let new = NewMailed {
        id,
        purpose: TokenPurpose::Invitation,
        user: None,
        email: Some(email.as_str()),
        role: Some(role),
        password_hash: None,
        mac: &mac,
        created_by: call.subject(),
        at,
        expires_at,
    };
    call.write(async |tx| {
        let own = lock_caller(tx, &call).await?;
        grants(tx, &call, own, WRITE_USERS, &[role], Hold::Give).await?.may_give(role).map_err(refused)?;
        if users::is_taken(tx, email.as_str()).await? {
            return Err(ApiError::Taken { what: "e-mail address" });
        }
        has_room(&caps::look(tx, Capped::Users).await?)?;
        if caps::claim(tx, Capped::Invitations).await?.is_reached() {
            return Err(TOO_MANY);
        }
        match one_time_tokens::insert_mailed(tx, &new).await {
            Err(DbError::AlreadyExists { .. }) => return Err(INVITED),
            other => other?,
        }
        if let Some(per_hour) = per_hour
            && !ask_for_mail(tx, per_hour, id, at).await?
        {
            return Err(until_next_hour(at));
        }
        let created_by = call.subject().to_owned();
        let row = Invitation { id, email: email.to_string(), role, created_by, created_at: at, expires_at };
        let view = SentInvitationResponse::of(row, per_hour.is_none().then(|| token.reveal().to_owned()));
        let answer = Answer::created(format!("/v1/invitations/{id}"), &view)?;
        let answer = if per_hour.is_none() { answer.showing_secret() } else { answer };
        let changes = json!({ "email": email, "role": role, "mail": per_hour.is_some() });
        Ok(Written::changed(id, changes, answer))
    })
    .await
}

fn parse(call: &TenantCall, body: &CreateInvitationRequest) -> Result<(Email, RoleName), ApiError> {
    let mut fields = Fields::default();
    let email = fields.take("/email", body.email.parse::<Email>());
    let role = fields.take("/role", call.state().access().read_role(&body.role));
    fields.finish()?;
    email.zip(role).ok_or_else(|| ApiError::internal("a field that was refused"))
}
