//! API keys of operators: for programs of the platform's own, like a page on which customers sign up.

mod create;
mod delete;
mod get;
mod list;

use bulkhead_db::platform::operator_keys::OperatorKeyRow;
use bulkhead_domain::{OperatorId, OperatorKeyId, operator_permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::{
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    list::list_operator_keys => Access::Operator(operator_permission::READ_OPERATOR_KEYS), [], List;
    create::create_operator_key => Access::Operator(operator_permission::WRITE_OPERATOR_KEYS), [TOO_MANY];
    get::get_operator_key => Access::Operator(operator_permission::READ_OPERATOR_KEYS), [];
    delete::delete_operator_key => Access::Operator(operator_permission::WRITE_OPERATOR_KEYS), [not_grantable()];
}

const TOO_MANY: ApiError =
    ApiError::WrongState("An operator has at most 50 API keys that work. Revoke one that is not used.");

/// An API key of an operator, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorKeyResponse {
    /// Its id.
    #[schema(value_type = String, example = "opk_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: OperatorKeyId,
    /// What people call it.
    #[schema(example = "sign-up page")]
    name: String,
    /// How the key begins.
    #[schema(example = "bh_ok_o01jd3e2x6m7k9v4q8t5b2n0c1c")]
    hint: String,
    /// What it may use of what its operator holds.
    #[schema(example = json!(["write:tenants", "read:operations"]))]
    scopes: Vec<String>,
    /// Whose it is.
    #[schema(value_type = String, example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: OperatorId,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it stops working by itself.
    expires_at: DateTime<Utc>,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<OperatorKeyRow> for OperatorKeyResponse {
    fn from(row: OperatorKeyRow) -> Self {
        let OperatorKeyRow {
            id,
            operator_id,
            name,
            hint,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = row;
        let created_by = operator_id;
        Self { id, name, hint, scopes, created_by, created_at, expires_at, revoked_at, last_used_at }
    }
}
