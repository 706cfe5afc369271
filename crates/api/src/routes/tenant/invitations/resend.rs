//! Send an invitation again.

use bulkhead_auth::{LinkKind, grants::Hold};
use bulkhead_db::tenant::invitations::{self, Invitation};
use bulkhead_domain::{OneTimeTokenId, permission::WRITE_USERS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{LIFE, SentInvitationResponse, by_mail};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IdempotencyKeyHeader, Json, RequestBody, present},
    },
    routes::{
        newcomers::{ask_for_mail, in_future, link_token, until_next_hour},
        tenant::{grants, lock_caller, refused},
    },
};

/// How to send it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendInvitationRequest {
    /// Whether to send it by mail. With false the answer has the new token, to be handed over. Left out, it is sent where the
    /// platform sends mail.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = true)]
    mail: Option<bool>,
}

impl RequestBody for ResendInvitationRequest {}

/// Send an invitation again
///
/// With a new token, for another seven days, and in your name: the token before stops working.
#[utoipa::path(
    post, path = "/v1/invitations/{id}/resend", tag = "invitations", request_body = ResendInvitationRequest,
    params(
        ("id" = String, Path, description = "The invitation's id.", example = "ott_01jd3e2x6m7k9v4q8t5b2n0c1c"),
        IdempotencyKeyHeader,
    ),
    responses((status = 200, description = "Sent.", body = SentInvitationResponse)),
)]
pub(crate) async fn resend_invitation(
    call: TenantCall,
    Id(id): Id<OneTimeTokenId>,
    Json(body): Json<ResendInvitationRequest>,
) -> Result<Answer, ApiError> {
    let per_hour = by_mail(call.state(), body.mail)?;
    let at = call.at();
    call.write(async |tx| {
        let own = lock_caller(tx, &call).await?;
        let found = invitations::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        let role = found.role;
        grants(tx, &call, own, WRITE_USERS, &[role], Hold::Give).await?.may_give(role).map_err(refused)?;
        // Another moment than before, however soon it is sent again: otherwise the token would be the same.
        let expires_at = in_future(at, LIFE).max(found.expires_at + chrono::TimeDelta::seconds(1));
        let (token, mac) = link_token(call.state(), LinkKind::Invitation, call.tenant(), id, expires_at);
        invitations::renew(tx, id, &mac, call.subject(), at, expires_at).await?;
        if let Some(per_hour) = per_hour
            && !ask_for_mail(tx, per_hour, id, at).await?
        {
            return Err(until_next_hour(at));
        }
        let created_by = call.subject().to_owned();
        let row = Invitation { created_by, created_at: at, expires_at, ..found };
        let view = SentInvitationResponse::of(row, per_hour.is_none().then(|| token.reveal().to_owned()));
        let answer = Answer::ok(&view)?;
        let answer = if per_hour.is_none() { answer.showing_secret() } else { answer };
        let changes = json!({ "expires_at": expires_at, "mail": per_hour.is_some() });
        Ok(Written::changed(id, changes, answer))
    })
    .await
}
