//! When a signing key is published, when it signs, and when it is gone.
//!
//! Owns the times and the making of keys that are to be stored; the steps themselves are transactions of
//! `bulkhead_db::platform::signing_keys`. Refuses to hand out a private key: what it makes is sealed.

use std::sync::Arc;

use bulkhead_db::platform::signing_keys::NewSigningKey;
use chrono::TimeDelta;

use crate::{
    jwt::{LEEWAY, MAX_LIFETIME},
    keyring::Keyring,
    signing_keys::{SigningKey, SigningKeyError},
};

/// How long clients and proxies may keep `/.well-known/jwks.json`.
pub const JWKS_MAX_AGE: TimeDelta = TimeDelta::minutes(5);
/// How long a change of the keys takes at most to be known by every node and to be out of its answers: programs from before keys
/// could be rotated look every half minute.
const KNOWN_EVERYWHERE: TimeDelta = TimeDelta::minutes(1);
/// How long a key is published before it signs. A client that has read the document a moment before the key was in it may keep
/// that for [`JWKS_MAX_AGE`].
pub const PUBLISHED_AHEAD: TimeDelta =
    TimeDelta::seconds(JWKS_MAX_AGE.num_seconds() + KNOWN_EVERYWHERE.num_seconds());
/// How long a key is published after it was retired: until the last token that a node may still have signed with it has expired.
pub const PUBLISHED_BEHIND: TimeDelta =
    TimeDelta::seconds(MAX_LIFETIME.num_seconds() + LEEWAY.num_seconds() + KNOWN_EVERYWHERE.num_seconds());

/// Makes signing keys that are to be stored.
#[derive(Clone, Debug)]
pub struct SigningKeyMaker {
    keyring: Arc<Keyring>,
}

impl SigningKeyMaker {
    /// Makes keys that are sealed with this keyring.
    pub const fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring }
    }

    /// Makes one, on a thread that serves nothing: it takes from tenths of a second to seconds of processor time.
    pub async fn make(&self) -> Result<NewSigningKey, SigningKeyError> {
        let keyring = Arc::clone(&self.keyring);
        let make = move || {
            let key = SigningKey::generate()?;
            Ok(NewSigningKey {
                kid: key.public().kid().to_owned(),
                public_jwk: key.public().to_jwk(),
                sealed_private: key.sealed(&keyring)?,
            })
        };
        tokio::task::spawn_blocking(make).await.unwrap_or(Err(SigningKeyError::Generation))
    }
}
