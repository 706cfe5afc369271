//! List the signing keys.

use bulkhead_db::platform::signing_keys;

use super::SigningKeysResponse;
use crate::http::{answer::Answer, call::OperatorCall, error::ApiError};

/// List signing keys
///
/// The keys that sign access tokens, did, or will: never their private parts.
#[utoipa::path(
    get, path = "/v1/admin/keys", tag = "operators: signing keys",
    responses((status = 200, description = "The keys.", body = SigningKeysResponse)),
)]
pub(crate) async fn list_signing_keys(call: OperatorCall) -> Result<Answer, ApiError> {
    super::shown(call.read(async |tx| signing_keys::list(tx).await).await?)
}
