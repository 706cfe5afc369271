//! Invitations to a tenant.

mod create;
mod delete;
mod get;
mod list;
mod resend;

use bulkhead_db::tenant::invitations::Invitation;
use bulkhead_domain::{OneTimeTokenId, RoleName, permission};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::{
    error::ApiError,
    operation::{Access, operations},
    state::AppState,
};

operations! {
    list::list_invitations => Access::Tenant(permission::READ_USERS), [], List;
    create::create_invitation => Access::Tenant(permission::WRITE_USERS), [
        not_grantable(),
        ApiError::Taken { what: "e-mail address" },
        ApiError::PlanLimitReached { what: "users", most: 100 },
        INVITED,
    ];
    get::get_invitation => Access::Tenant(permission::READ_USERS), [];
    resend::resend_invitation => Access::Tenant(permission::WRITE_USERS), [not_grantable()];
    delete::delete_invitation => Access::Tenant(permission::WRITE_USERS), [not_grantable()];
}

/// How long an invitation can be accepted.
const LIFE: TimeDelta = TimeDelta::days(7);

const INVITED: ApiError =
    ApiError::WrongState("This address is invited already. Send that invitation again, or revoke it first.");
const TOO_MANY: ApiError =
    ApiError::WrongState("A tenant has at most 1,000 invitations that can be accepted. Revoke some of them.");

/// An invitation that can be accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitationResponse {
    /// Its id.
    #[schema(value_type = String, example = "ott_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: OneTimeTokenId,
    /// Who is invited.
    #[schema(example = "grace@example.com")]
    email: String,
    /// What they will be.
    #[schema(value_type = String, example = "developer")]
    role: RoleName,
    /// Who has sent it last. It ends when they may not give its role any more.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: String,
    /// When it was sent last.
    created_at: DateTime<Utc>,
    /// When it stops working by itself.
    expires_at: DateTime<Utc>,
}

/// An invitation that was sent, or is to be handed over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SentInvitationResponse {
    /// Its id.
    #[schema(value_type = String, example = "ott_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: OneTimeTokenId,
    /// Who is invited.
    #[schema(example = "grace@example.com")]
    email: String,
    /// What they will be.
    #[schema(value_type = String, example = "developer")]
    role: RoleName,
    /// Who has sent it: you.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: String,
    /// When that was.
    created_at: DateTime<Utc>,
    /// When it stops working by itself.
    expires_at: DateTime<Utc>,
    /// The token with which it is accepted, shown this once, where no mail is sent; otherwise null. Hand it to the person by a way
    /// that you trust, best as a link to a page of yours.
    #[schema(example = json!(null))]
    token: Option<String>,
}

impl SentInvitationResponse {
    fn of(row: Invitation, token: Option<String>) -> Self {
        let Invitation { id, email, role, created_by, created_at, expires_at } = row;
        Self { id, email, role, created_by, created_at, expires_at, token }
    }
}

impl From<Invitation> for InvitationResponse {
    fn from(row: Invitation) -> Self {
        let Invitation { id, email, role, created_by, created_at, expires_at } = row;
        Self { id, email, role, created_by, created_at, expires_at }
    }
}

/// How many mails the tenant may have sent in an hour, if the invitation is to leave by mail.
fn by_mail(state: &AppState, wanted: Option<bool>) -> Result<Option<u32>, ApiError> {
    match (wanted, state.options.mails_per_hour) {
        (Some(true), None) => Err(ApiError::field(
            "/mail",
            "must be false: no mail leaves this platform. The answer has the token then, to be handed over",
        )),
        (Some(false), _) => Ok(None),
        (_, per_hour) => Ok(per_hour),
    }
}
