//! The keys that sign access tokens, as operators see them.

mod list;
mod rotate;

use bulkhead_auth::rotation::{PUBLISHED_AHEAD, PUBLISHED_BEHIND};
use bulkhead_db::platform::signing_keys::{RETIRED, STANDBY, StoredSigningKey};
use bulkhead_domain::operator_permission;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    answer::Answer,
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    list::list_signing_keys => Access::Operator(operator_permission::READ_SIGNING_KEYS), [];
    rotate::rotate_signing_keys => Access::Operator(operator_permission::WRITE_SIGNING_KEYS), [
        rotate::not_active(), rotate::no_standby(), rotate::too_early(), rotate::unknown(),
    ];
}

/// A key that signs access tokens, did, or will.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SigningKeyResponse {
    /// Its name: its RFC 7638 thumbprint, the `kid` in tokens and in `/.well-known/jwks.json`.
    #[schema(example = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")]
    kid: String,
    /// `standby` (published, and signs nothing yet), `active` (signs) or `retired` (signs no more; published while tokens of it
    /// can live).
    #[schema(example = "active")]
    state: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Since when it signs or has signed; `null` of a standby key, and of a key that an older release has made.
    activated_at: Option<DateTime<Utc>>,
    /// Since when it signs no more; `null` while it does.
    #[schema(example = json!(null))]
    retired_at: Option<DateTime<Utc>>,
    /// Of a standby key: from when on it has been published for so long that it may sign. `null` of others.
    #[schema(example = json!(null))]
    usable_from: Option<DateTime<Utc>>,
    /// Of a retired key: when the last token of it has expired, and it is deleted. `null` of others.
    #[schema(example = json!(null))]
    gone_after: Option<DateTime<Utc>>,
}

impl From<StoredSigningKey> for SigningKeyResponse {
    fn from(key: StoredSigningKey) -> Self {
        let StoredSigningKey { kid, state, created_at, activated_at, retired_at, .. } = key;
        let usable_from = (state == STANDBY).then(|| created_at + PUBLISHED_AHEAD);
        let gone_after = retired_at.filter(|_| state == RETIRED).map(|at| at + PUBLISHED_BEHIND);
        Self { kid, state, created_at, activated_at, retired_at, usable_from, gone_after }
    }
}

/// All signing keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SigningKeysResponse {
    /// The keys, the oldest first: three of them, or four, as long as none is replaced more often than once an hour.
    data: Vec<SigningKeyResponse>,
}

/// The answer that shows the keys as they are.
fn shown(keys: Vec<StoredSigningKey>) -> Result<Answer, ApiError> {
    Answer::ok(&SigningKeysResponse { data: keys.into_iter().map(Into::into).collect() })
}
