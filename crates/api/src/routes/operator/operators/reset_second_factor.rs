//! Take an operator's second factor away.

use bulkhead_auth::{FactorTx as _, SessionTx as _};
use bulkhead_domain::{OperatorId, operator_permission::WRITE_OPERATORS};
use serde_json::json;

use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::Id,
    },
    routes::operator::{grants, refused},
};

/// Reset an operator's second factor
///
/// For one whose phone and recovery codes are gone. Their sessions end; where a second factor is required they set up another one
/// with their next log-in. You may do so for operators alone whose role you may take away.
#[utoipa::path(
    delete, path = "/v1/admin/operators/{id}/second-factor", tag = "operators: operators",
    params(("id" = String, Path, description = "The operator's id.", example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Gone, if there was one.")),
)]
pub(crate) async fn reset_operator_second_factor(
    call: OperatorCall,
    Id(id): Id<OperatorId>,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let grants = grants(tx, &call, WRITE_OPERATORS).await?;
        let role = grants.operators().find(id).ok_or(ApiError::NotFound)?.role;
        grants.may_take(role).map_err(refused)?;
        let had_one = tx.remove_factor(id).await?;
        let ended = if had_one { tx.end_others(id, None).await? } else { 0 };
        let changes = json!({ "had_one": had_one, "sessions_ended": ended });
        Ok(Written::changed(id, changes, Answer::no_content()))
    })
    .await
}
