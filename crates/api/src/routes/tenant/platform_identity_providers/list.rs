//! List the platform's identity providers.

use bulkhead_db::gate::identity_providers;
use serde::Serialize;
use utoipa::ToSchema;

use super::PlatformProviderResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError};

/// The platform's identity providers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlatformProvidersResponse {
    /// Those whose word is taken, in the order in which they were added.
    data: Vec<PlatformProviderResponse>,
}

/// List the platform's identity providers
///
/// Those whose word is taken in this tenant.
#[utoipa::path(
    get, path = "/v1/platform-identity-providers", tag = "identity providers",
    responses((status = 200, description = "The providers.", body = PlatformProvidersResponse)),
)]
pub(crate) async fn list_platform_identity_providers(call: TenantCall) -> Result<Answer, ApiError> {
    let rows = call.read(async |tx| identity_providers::list_shared(tx).await).await?;
    Answer::ok(&PlatformProvidersResponse { data: rows.into_iter().map(Into::into).collect() })
}
