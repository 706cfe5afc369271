//! Read whether operators may act as the tenant's people.

use bulkhead_db::gate::settings;

use super::ImpersonationSettingResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError};

/// Read whether operators may act as you
///
/// The platform's operators may act as a person of yours for a quarter of an hour, to see what they see, unless an owner of yours has
/// switched it off. Your audit log has the reason of each time, and names the operator with everything that is done so.
#[utoipa::path(
    get, path = "/v1/settings/impersonation", tag = "settings",
    responses((status = 200, description = "The setting.", body = ImpersonationSettingResponse)),
)]
pub(crate) async fn get_impersonation(call: TenantCall) -> Result<Answer, ApiError> {
    let allowed = call.read(async |tx| settings::impersonation(tx).await).await?;
    Answer::ok(&ImpersonationSettingResponse { tenant: call.tenant(), allowed })
}
