//! Take a person's second factor away.

use bulkhead_auth::{FactorTx as _, SessionTx as _};
use bulkhead_domain::UserId;
use serde_json::json;

use super::update::within_reach;
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::Id,
};

/// Reset a user's second factor
///
/// For one whose phone and recovery codes are gone. Their sessions end; where a second factor is required they set up another one
/// with their next log-in. You may do so for people alone whose role you may take away.
#[utoipa::path(
    delete, path = "/v1/users/{id}/second-factor", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Gone, if there was one.")),
)]
pub(crate) async fn reset_user_second_factor(
    call: TenantCall,
    Id(user): Id<UserId>,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        within_reach(tx, &call, user).await?;
        let had_one = tx.remove_factor(user).await?;
        let ended = if had_one { tx.end_others(user, None).await? } else { 0 };
        let changes = json!({ "had_one": had_one, "sessions_ended": ended });
        Ok(Written::changed(user, changes, Answer::no_content()))
    })
    .await
}
