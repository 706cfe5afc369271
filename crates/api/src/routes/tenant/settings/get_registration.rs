//! Read who may register.

use bulkhead_db::tenant::settings;

use super::RegistrationResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError};

/// Read who may register
///
/// By themselves, that is, at `/v1/auth/register`. Until somebody sets it, nobody may.
#[utoipa::path(
    get, path = "/v1/settings/registration", tag = "settings",
    responses((status = 200, description = "The setting.", body = RegistrationResponse)),
)]
pub(crate) async fn get_registration(call: TenantCall) -> Result<Answer, ApiError> {
    let setting = call.read(async |tx| settings::registration(tx).await).await?;
    let version = setting.version;
    Ok(Answer::ok(&RegistrationResponse::from(setting))?.version(version))
}
