//! The people who run the platform.

mod create;
mod delete;
mod get;
mod invite;
mod list;
mod reset_second_factor;
mod update;

use bulkhead_auth::OperatorResetToken;
use bulkhead_db::{
    PlatformTx,
    platform::operators::{self, NewToken, Operator},
};
use bulkhead_domain::{OperatorId, RoleName, operator_permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::{
    call::OperatorCall,
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    list::list_operators => Access::Operator(operator_permission::READ_OPERATORS), [], List;
    create::create_operator => Access::Operator(operator_permission::WRITE_OPERATORS), [
        not_grantable(),
        ApiError::Taken { what: "e-mail address" },
    ];
    get::get_operator => Access::Operator(operator_permission::READ_OPERATORS), [];
    update::update_operator => Access::Operator(operator_permission::WRITE_OPERATORS), [
        not_grantable(),
        ApiError::LastAdmin,
    ];
    delete::delete_operator => Access::Operator(operator_permission::WRITE_OPERATORS), [
        not_grantable(),
        ApiError::LastAdmin,
    ];
    invite::invite_operator => Access::Operator(operator_permission::WRITE_OPERATORS), [not_grantable()];
    reset_second_factor::reset_operator_second_factor => Access::Operator(operator_permission::WRITE_OPERATORS), [
        not_grantable(),
    ];
}

/// How long a token for a password works, in seconds: a day.
const SECONDS: i64 = 24 * 60 * 60;

/// A person who runs the platform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorResponse {
    /// Their id.
    #[schema(value_type = String, example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: OperatorId,
    /// Their address.
    #[schema(example = "grace@example.com")]
    email: String,
    /// What they may do: `admin`, `support`, `billing` or a role that `/v1/admin/roles` lists besides.
    #[schema(value_type = String, example = "support")]
    role: RoleName,
    /// `active`, or `invited` while they have set no password.
    #[schema(example = "active")]
    state: &'static str,
    /// Until when they can set a password with the token that they were given last; null when there is none.
    invited_until: Option<DateTime<Utc>>,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 1)]
    version: i64,
    /// When they were added.
    created_at: DateTime<Utc>,
    /// When they were last changed.
    updated_at: DateTime<Utc>,
}

impl From<Operator> for OperatorResponse {
    fn from(row: Operator) -> Self {
        let Operator { id, email, role, has_password, token_expires_at, version, created_at, updated_at } =
            row;
        let state = if has_password { "active" } else { "invited" };
        Self { id, email, role, state, invited_until: token_expires_at, version, created_at, updated_at }
    }
}

/// An operator with the token with which they set a password.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitedOperatorResponse {
    /// The token. It is shown this once; the operator sends it to `/v1/auth/password/reset` with a password.
    #[schema(example = "bh_pr_…")]
    token: String,
    #[serde(flatten)]
    operator: OperatorResponse,
}

/// Keeps the token for an operator of this transaction, in place of the one before.
async fn invited(
    tx: &mut PlatformTx,
    call: &OperatorCall,
    token: &OperatorResetToken,
    operator: Operator,
) -> Result<InvitedOperatorResponse, ApiError> {
    let mac = token.mac(&call.state().keyring);
    let new = NewToken { operator: operator.id, mac: &mac, created_by: call.subject(), seconds: SECONDS };
    let until = operators::keep_token(tx, &new).await?.ok_or(ApiError::NotFound)?;
    let operator = OperatorResponse { invited_until: Some(until), ..operator.into() };
    Ok(InvitedOperatorResponse { token: token.reveal().to_owned(), operator })
}
