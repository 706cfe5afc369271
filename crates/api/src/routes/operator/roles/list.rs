//! List roles of operators.

use bulkhead_db::platform::operator_roles;
use serde::Serialize;
use utoipa::ToSchema;

use super::OperatorRoleResponse;
use crate::http::{answer::Answer, call::OperatorCall, error::ApiError};

/// All roles of operators.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorRolesResponse {
    /// The built-in ones, the highest first, then the others by name.
    data: Vec<OperatorRoleResponse>,
}

/// List roles of operators
///
/// All of them: the built-in ones, and those that the platform has defined, of which there are at most 200. The role `admin` shows
/// every permission that exists.
#[utoipa::path(
    get, path = "/v1/admin/roles", tag = "operators: roles",
    responses((status = 200, description = "The roles.", body = OperatorRolesResponse)),
)]
pub(crate) async fn list_operator_roles(call: OperatorCall) -> Result<Answer, ApiError> {
    let access = call.state().access();
    let rows = call.read(async |tx| operator_roles::list(tx).await).await?;
    let built_in = access.operators().roles().iter().map(|role| OperatorRoleResponse::built_in(access, role));
    let data = built_in.chain(rows.into_iter().map(|row| OperatorRoleResponse::own(access, row))).collect();
    Answer::ok(&OperatorRolesResponse { data })
}
