//! The signing keys as this node knows them.
//!
//! Owns the set that tokens are signed and verified with, and its replacement when the stored keys change. What cannot be read is
//! left out and said in the log: without its private part the node signs nothing, without its public part a key's tokens are
//! refused. Refuses to go on with a key that is stored no more.

use std::sync::Arc;

use bulkhead_db::platform::signing_keys::{ACTIVE, STANDBY, StoredSigningKey};
use parking_lot::RwLock;

use crate::{
    keyring::Keyring,
    signing_keys::{KeySet, SigningKey, VerifyingKey},
};

/// One per process, shared by its threads.
#[derive(Debug)]
pub(crate) struct NodeKeys {
    keyring: Arc<Keyring>,
    known: RwLock<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    /// What the set was made from.
    rows: Vec<StoredSigningKey>,
    set: Arc<KeySet>,
}

impl NodeKeys {
    /// Knows none yet.
    pub(crate) const fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring, known: RwLock::new(None) }
    }

    /// The set that holds now, if the stored keys were read at all.
    pub(crate) fn current(&self) -> Option<Arc<KeySet>> {
        self.known.read().as_ref().map(|known| Arc::clone(&known.set))
    }

    /// Takes in what is stored. Whether a key whose tokens were good is trusted no more: then what was verified with it must be
    /// forgotten. Costs a comparison when nothing has changed.
    pub(crate) fn update(&self, rows: Vec<StoredSigningKey>) -> bool {
        let before = {
            let known = self.known.read();
            match &*known {
                Some(known) if known.rows == rows => return false,
                known => known.as_ref().map(|known| Arc::clone(&known.set)),
            }
        };
        let set = Arc::new(self.assemble(&rows, before.as_deref()));
        *self.known.write() = Some(Known { rows, set: Arc::clone(&set) });
        before.is_some_and(|before| before.trusted().any(|kid| set.find(kid).is_none()))
    }

    fn assemble(&self, rows: &[StoredSigningKey], before: Option<&KeySet>) -> KeySet {
        let (mut signer, mut trusted, mut announced) = (None, Vec::new(), Vec::new());
        for row in rows {
            let public = match VerifyingKey::from_jwk(&row.public_jwk) {
                Ok(public) if public.kid() == row.kid => public,
                _ => {
                    tracing::error!(
                        kid = row.kid,
                        "a stored public key cannot be used: its tokens are refused"
                    );
                    continue;
                }
            };
            if row.state == STANDBY {
                announced.push(public);
                continue;
            }
            if row.state == ACTIVE {
                signer = self.signer(row, &public, before);
            }
            trusted.push(public);
        }
        KeySet::of(signer, trusted, announced)
    }

    fn signer(
        &self,
        row: &StoredSigningKey,
        public: &VerifyingKey,
        before: Option<&KeySet>,
    ) -> Option<Arc<SigningKey>> {
        if let Some(same) = before.and_then(KeySet::signer).filter(|key| key.public().kid() == row.kid) {
            return Some(same);
        }
        match SigningKey::unseal(public.clone(), &row.sealed_private, &self.keyring) {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                tracing::error!(kid = row.kid, %error, "the active signing key cannot be used: no token is issued");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use bulkhead_db::platform::signing_keys::RETIRED;
    use chrono::Utc;

    use super::*;
    use crate::root_key::RootKey;

    /// Making an RSA key takes seconds in a debug build.
    static ROWS: LazyLock<[StoredSigningKey; 3]> = LazyLock::new(|| {
        let row = |state: &str| {
            let key = SigningKey::generate().unwrap();
            StoredSigningKey {
                kid: key.public().kid().to_owned(),
                state: state.to_owned(),
                public_jwk: key.public().to_jwk(),
                sealed_private: key.sealed(&keyring()).unwrap(),
                created_at: chrono::DateTime::<Utc>::UNIX_EPOCH,
                activated_at: None,
                retired_at: None,
            }
        };
        [row(RETIRED), row(ACTIVE), row(STANDBY)]
    });

    fn keyring() -> Keyring {
        Keyring::new(&RootKey::from([1; 32])).unwrap()
    }

    fn node() -> NodeKeys {
        NodeKeys::new(Arc::new(keyring()))
    }

    #[test]
    fn a_standby_key_is_published_and_not_trusted() {
        let node = node();
        assert!(!node.update(ROWS.to_vec()), "what was verified before was forgotten");
        let set = node.current().unwrap();
        let [retired, active, standby] = &*ROWS;
        assert_eq!(set.active().unwrap().public().kid(), active.kid);
        assert!(set.find(&retired.kid).is_some() && set.find(&active.kid).is_some());
        assert!(set.find(&standby.kid).is_none() && set.announced(&standby.kid).is_some());
        for row in &*ROWS {
            assert!(set.jwks().contains(&row.kid), "{row:?} is not published");
        }
    }

    #[test]
    fn only_a_key_that_was_trusted_and_is_gone_makes_the_node_forget() {
        let node = node();
        let [retired, active, standby] = ROWS.clone();
        let as_active = StoredSigningKey { state: ACTIVE.to_owned(), ..standby.clone() };
        let as_retired = StoredSigningKey { state: RETIRED.to_owned(), ..active.clone() };
        for (rows, forgets) in [
            (vec![retired.clone(), active.clone()], false),
            (vec![retired.clone(), active.clone(), standby.clone()], false),
            (vec![retired.clone(), active.clone()], false),
            (vec![retired.clone(), active.clone(), standby], false),
            (vec![retired, as_retired.clone(), as_active.clone()], false),
            (vec![as_retired, as_active.clone()], true),
            (vec![as_active.clone()], true),
            (vec![as_active], false),
        ] {
            assert_eq!(node.update(rows.clone()), forgets, "{rows:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_the_rest_goes_on() {
        let node = node();
        let [retired, active, standby] = ROWS.clone();
        node.update(vec![retired.clone(), active.clone()]);
        // Sealed for another key, as when rows are swapped: tokens are verified, none is signed.
        let swapped = StoredSigningKey {
            state: ACTIVE.to_owned(),
            sealed_private: active.sealed_private.clone(),
            ..standby
        };
        assert!(node.update(vec![retired.clone(), swapped.clone()]));
        let set = node.current().unwrap();
        assert!(set.active().is_err() && set.find(&swapped.kid).is_some() && set.find(&active.kid).is_none());
        // A public key under another's name.
        let renamed = StoredSigningKey { kid: retired.kid.clone(), ..active.clone() };
        node.update(vec![renamed]);
        let set = node.current().unwrap();
        assert!(set.active().is_err() && set.find(&retired.kid).is_none() && set.find(&active.kid).is_none());
        node.update(vec![retired, active]);
        assert!(node.current().unwrap().active().is_ok());
    }
}
