//! The secrets of API keys.
//!
//! Owns their making and checking; the text format is [`bulkhead_domain::api_key`]'s. A key holds 196 random bits, so a
//! keyed hash is all the protection its stored form needs. Refuses to store or compare the key itself.

use bulkhead_domain::{ApiKeyId, TenantId, api_key::ApiKey};

use crate::{
    keyring::{Keyring, Purpose},
    random::{self, NoEntropy},
    session,
};

/// Why no API key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// The environment's name does not fit into a key.
    #[error("an API key's environment must be 1 to 8 lower-case letters and not `{}`", session::MARK)]
    Environment,
    /// There was no randomness.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// Makes a key and what is stored of it. `env` tells where it is good (`live`, `test`, `dev`). The key is shown once,
/// to the person who asked for it.
pub fn issue(
    keyring: &Keyring,
    env: &str,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<(ApiKey, [u8; 32]), ApiKeyError> {
    let key = generate(env, tenant, id)?;
    let mac = mac(keyring, &key);
    Ok((key, mac))
}

/// Makes a key, of which nothing is stored yet.
pub fn generate(env: &str, tenant: TenantId, id: ApiKeyId) -> Result<ApiKey, ApiKeyError> {
    // Refresh tokens begin with `bh_rt_`: a key must not look like one to a secret scanner.
    if env == session::MARK {
        return Err(ApiKeyError::Environment);
    }
    let mut source = Source::new()?;
    let key = ApiKey::issue(env, tenant, id, || source.next());
    if source.dry {
        return Err(NoEntropy.into());
    }
    if ApiKey::parse(key.reveal()).is_err() {
        return Err(ApiKeyError::Environment);
    }
    Ok(key)
}

/// What is stored of a key.
pub fn mac(keyring: &Keyring, key: &ApiKey) -> [u8; 32] {
    keyring.mac(Purpose::ApiKey, key.reveal().as_bytes())
}

/// Whether a stored value is this key's, in constant time.
pub fn matches(keyring: &Keyring, key: &ApiKey, stored_mac: &[u8]) -> bool {
    keyring.mac_matches(Purpose::ApiKey, key.reveal().as_bytes(), stored_mac)
}

/// Random bytes one at a time, fetched in blocks.
struct Source {
    block: std::array::IntoIter<u8, 64>,
    /// Set when there was no randomness; what was made since is to be thrown away.
    dry: bool,
}

impl Source {
    fn new() -> Result<Self, NoEntropy> {
        Ok(Self { block: random::bytes()?.into_iter(), dry: false })
    }

    fn next(&mut self) -> u8 {
        if let Some(byte) = self.block.next() {
            return byte;
        }
        match random::bytes() {
            Ok(block) => self.block = block.into_iter(),
            Err(NoEntropy) => self.dry = true,
        }
        self.block.next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::root_key::RootKey;

    fn keyring() -> Keyring {
        Keyring::new(&RootKey::from([1; 32])).unwrap()
    }

    fn ids(tenant: [u8; 16], id: [u8; 16]) -> (TenantId, ApiKeyId) {
        (TenantId::from_uuid(Uuid::from_bytes(tenant)), ApiKeyId::from_uuid(Uuid::from_bytes(id)))
    }

    proptest! {
        #[test]
        fn a_key_matches_only_its_own_mac(tenant: [u8; 16], id: [u8; 16], at in 0_usize..32, flip in 1..=255_u8) {
            let keyring = keyring();
            let (tenant, id) = ids(tenant, id);
            let (key, mut stored) = issue(&keyring, "live", tenant, id).unwrap();
            let (sibling, other) = issue(&keyring, "live", tenant, id).unwrap();
            let read = ApiKey::parse(key.reveal()).unwrap();
            prop_assert_eq!((read.tenant, read.id), (tenant, id));
            prop_assert!(matches(&keyring, &read, &stored));
            prop_assert!(!matches(&keyring, &sibling, &stored) && !matches(&keyring, &read, &other));
            prop_assert!(!matches(&keyring, &read, &[]) && !matches(&keyring, &read, &stored[..at]));
            stored[at] ^= flip;
            prop_assert!(!matches(&keyring, &read, &stored));
        }
    }

    #[test]
    fn an_environment_must_fit_into_a_key() {
        let (tenant, id) = ids([1; 16], [2; 16]);
        for bad in ["", "Live", "li_ve", "lí", "toolongname", "rt"] {
            assert_eq!(issue(&keyring(), bad, tenant, id).err(), Some(ApiKeyError::Environment), "{bad:?}");
        }
    }

    #[test]
    fn secrets_do_not_repeat_and_use_every_digit() {
        let (tenant, id) = ids([1; 16], [2; 16]);
        let secrets: HashSet<String> = (0..500)
            .map(|_| {
                let (key, _) = issue(&keyring(), "live", tenant, id).unwrap();
                key.reveal()[key.hint().len() + 1..][..bulkhead_domain::api_key::SECRET_LENGTH].to_owned()
            })
            .collect();
        assert_eq!(secrets.len(), 500);
        let digits: HashSet<char> = secrets.iter().flat_map(|secret| secret.chars()).collect();
        assert_eq!(digits.len(), 62);
    }
}
