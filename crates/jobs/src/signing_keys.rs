//! The keys that sign access tokens.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Take the steps of the signing keys that time decides: publish the next one ahead, delete those whose tokens have all expired.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TendSigningKeys {}

impl Job for TendSigningKeys {
    const KIND: &'static str = "tend_signing_keys";
    const MAX_ATTEMPTS: i32 = 1;
}
