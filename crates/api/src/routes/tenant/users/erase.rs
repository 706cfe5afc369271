//! Erase a person.

use bulkhead_db::tenant::audit::{self, AuditFilter};
use bulkhead_domain::UserId;
use bulkhead_jobs::EraseUser;

use super::{delete::remove, update::changeable};
use crate::{
    http::{
        answer::Answer,
        call::TenantCall,
        error::ApiError,
        extract::{Id, IdempotencyKeyHeader},
        progress::OperationResponse,
    },
    routes::tenant::api_keys::below::KeysChoice,
};

/// Erase a user
///
/// Removes the person and disables the API keys for which they answer, like `DELETE`, and takes out of the audit log what tells who they were: the addresses that they have called
/// from, and what was changed about them. That somebody did something at a time stays, under an id that leads to nobody. The log's
/// hash chain still holds: it was made with commitments, whose salts are destroyed. Works also for a person who was removed before.
/// What was exported, and backups until they are deleted, still have it.
#[utoipa::path(
    post, path = "/v1/users/{id}/erase", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IdempotencyKeyHeader),
    responses((status = 202, description = "The person is removed, and the log is being gone through.", body = OperationResponse)),
)]
pub(crate) async fn erase_user(call: TenantCall, Id(id): Id<UserId>) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        match changeable(tx, &call, id, None).await {
            Ok(person) => {
                remove(tx, &call, &person, KeysChoice::Disable).await?;
            }
            // Whoever was a person of this tenant has left something in its log.
            Err(ApiError::NotFound) => {
                let subject = id.to_string();
                let about = AuditFilter { target: Some(&subject), ..AuditFilter::default() };
                let first = bulkhead_db::PageRequest { after: None, limit: 1 };
                if audit::list(tx, &about, first).await?.rows.is_empty() {
                    return Err(ApiError::NotFound);
                }
            }
            Err(error) => return Err(error),
        }
        call.start(tx, id, &EraseUser { user: id }).await
    })
    .await
}
