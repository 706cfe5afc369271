//! The root key, and the master keys that open it.
//!
//! Owns the envelope: every symmetric key is derived from the root key, which never changes; what a deployment is configured with
//! is a master key, which only seals the root key and can therefore be changed. Also owns where the root key comes from: from
//! its row, from the master key of a database that is older than such rows, or from the generator. Refuses a master key that
//! opens nothing, before it writes anything, and gives neither key away.

use std::{fmt, str::FromStr, sync::Arc};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bulkhead_db::{
    Authority, Db, DbError, PlatformTx,
    platform::{
        root_keys::{self, SealedRootKey},
        signing_keys::{self, StoredSigningKey},
    },
};
use chrono::{DateTime, Utc};

use crate::{
    keyring::{Keyring, KeyringError, Sealer, derive},
    random::{self, NoEntropy},
    rotation::SigningKeyMaker,
    signing_keys::{SigningKey, SigningKeyError, VerifyingKey},
};

/// Separates what is derived from a master key itself from what is derived from the root key: the two can be the same bytes.
const SALT: &[u8] = b"bulkhead master key v1";
/// How often the search for the root key begins anew, because another process made one meanwhile.
const ATTEMPTS: usize = 3;

/// The key that a deployment is configured with, and that seals the root key: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; 32]);

impl FromStr for MasterKey {
    type Err = KeyringError;

    /// Reads 32 bytes in padded base64 (RFC 4648 section 4) and nothing else, not even a final newline.
    fn from_str(text: &str) -> Result<Self, KeyringError> {
        let bytes = STANDARD.decode(text).map_err(|_not_base64| KeyringError::MasterKey)?;
        bytes.try_into().map(Self).map_err(|_wrong_length| KeyringError::MasterKey)
    }
}

impl MasterKey {
    /// A new key.
    pub fn generate() -> Result<Self, NoEntropy> {
        random::bytes().map(Self)
    }

    /// The key as it is configured, in base64.
    pub fn reveal(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The key's name in the database: 132 bits that are derived from it and tell nothing of it, in base64url.
    pub fn fingerprint(&self) -> Result<String, KeyringError> {
        let mut name = URL_SAFE_NO_PAD.encode(self.derive("fingerprint")?);
        name.truncate(22);
        Ok(name)
    }

    /// The root key as it may be stored. Only this master key opens it.
    pub fn seal(&self, root: &RootKey) -> Result<Vec<u8>, KeyringError> {
        self.sealer()?.seal(&root.0, &self.fingerprint()?)
    }

    /// Opens what [`Self::seal`] made with this master key.
    pub fn open(&self, sealed: &[u8]) -> Result<RootKey, KeyringError> {
        let root = self.sealer()?.open(sealed, &self.fingerprint()?)?;
        root.try_into().map(RootKey).map_err(|_wrong_length| KeyringError::Unopenable)
    }

    fn sealer(&self) -> Result<Sealer, KeyringError> {
        Sealer::new(&self.derive("root_key_seal")?)
    }

    fn derive(&self, label: &str) -> Result<[u8; 32], KeyringError> {
        derive(&Salt::new(HKDF_SHA256, SALT).extract(&self.0), label)
    }
}

impl From<[u8; 32]> for MasterKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// The secret that every other symmetric key is derived from: 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey(pub(crate) [u8; 32]);

impl RootKey {
    /// The root key of a database that has no row for one: what programs derived from before there were rows.
    pub const fn of_older_programs(master: &MasterKey) -> Self {
        Self(master.0)
    }

    fn generate() -> Result<Self, NoEntropy> {
        random::bytes().map(Self)
    }
}

impl From<[u8; 32]> for RootKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// Why the root key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// No configured master key opens it.
    #[error(
        "BULKHEAD_MASTER_KEY: opens nothing here: this database's keys are sealed with another master key"
    )]
    WrongMasterKey,
    /// A row names a configured master key, which does not open it.
    #[error("BULKHEAD_MASTER_KEY: the root key that is stored for it is damaged")]
    Damaged,
    /// Other processes have changed the rows again and again meanwhile.
    #[error("the root key was made by another process at the same time; start again")]
    Raced,
    /// No key can be made or used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The first signing key cannot be made.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// The generator gave nothing.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// The master keys that a process is configured with.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    /// The one that everything is sealed with from now on.
    pub current: MasterKey,
    /// While it is changed, the one before.
    pub previous: Option<MasterKey>,
}

/// What the database knows of keys, as of one moment.
struct Stored {
    roots: Vec<SealedRootKey>,
    signing: Vec<StoredSigningKey>,
    has_tenants: bool,
}

impl MasterKeys {
    /// One master key, which is not being changed.
    pub const fn only(current: MasterKey) -> Self {
        Self { current, previous: None }
    }

    /// The keys that are derived from the root key of this database. The root key is sealed with the current master key if it is
    /// not yet, and made, together with the first signing key, in a database that nothing was derived in.
    pub async fn open(&self, db: &Db, now: DateTime<Utc>) -> Result<Arc<Keyring>, RootKeyError> {
        for _ in 0..ATTEMPTS {
            let stored = read(db).await?;
            let root = if stored.roots.is_empty() {
                self.adopt(db, &stored, now).await
            } else {
                self.unseal(db, &stored.roots).await
            };
            match root {
                Err(RootKeyError::Raced) => {}
                root => return Ok(Arc::new(Keyring::new(&root?)?)),
            }
        }
        Err(RootKeyError::Raced)
    }

    /// The fingerprints of these keys, the current one's first.
    pub fn fingerprints(&self) -> Result<Vec<String>, KeyringError> {
        self.all().map(MasterKey::fingerprint).collect()
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    async fn unseal(&self, db: &Db, rows: &[SealedRootKey]) -> Result<RootKey, RootKeyError> {
        for (place, master) in self.all().enumerate() {
            let fingerprint = master.fingerprint()?;
            let Some(row) = rows.iter().find(|row| row.fingerprint == fingerprint) else { continue };
            let root = master.open(&row.sealed).map_err(|_unopenable| RootKeyError::Damaged)?;
            if place > 0 {
                let sealed = (self.current.fingerprint()?, self.current.seal(&root)?);
                let insert = async |tx: &mut PlatformTx| root_keys::insert(tx, &sealed.0, &sealed.1).await;
                if db.platform_write::<_, DbError>(Authority::machinery(), insert).await? {
                    tracing::info!("the root key is sealed with BULKHEAD_MASTER_KEY, too");
                }
            }
            return Ok(root);
        }
        Err(RootKeyError::WrongMasterKey)
    }

    /// The root key of a database without a row for it, which gets one.
    async fn adopt(&self, db: &Db, stored: &Stored, now: DateTime<Utc>) -> Result<RootKey, RootKeyError> {
        let (root, first) = match stored.signing.iter().find(|key| key.state == signing_keys::ACTIVE) {
            Some(active) => (self.proven_by(active)?, None),
            None => {
                // A program from before there were rows may have derived from the master key that was configured then.
                let older = self.previous.as_ref().unwrap_or(&self.current);
                let root =
                    if stored.has_tenants { RootKey::of_older_programs(older) } else { RootKey::generate()? };
                let keyring = Arc::new(Keyring::new(&root)?);
                (root, Some(SigningKeyMaker::new(keyring).make().await?))
            }
        };
        let mut rows = Vec::new();
        for master in self.all() {
            rows.push((master.fingerprint()?, master.seal(&root)?));
        }
        let keep = async |tx: &mut PlatformTx| {
            // There is one active key at most: of processes that start at once, one decides about the root key with it.
            if let Some(first) = &first {
                let (kid, jwk, sealed) = (&first.kid, &first.public_jwk, &first.sealed_private);
                if !signing_keys::insert_first(tx, kid, jwk, sealed, now).await? {
                    return Err(RootKeyError::Raced);
                }
            }
            for (fingerprint, sealed) in &rows {
                root_keys::insert(tx, fingerprint, sealed).await?;
            }
            Ok(())
        };
        db.platform_write(Authority::machinery(), keep).await?;
        Ok(root)
    }

    /// The root key of older programs that this signing key is sealed with: proof of the master key, before anything is written.
    fn proven_by(&self, active: &StoredSigningKey) -> Result<RootKey, RootKeyError> {
        let public = VerifyingKey::from_jwk(&active.public_jwk)?;
        for root in self.all().map(RootKey::of_older_programs) {
            let keyring = Keyring::new(&root)?;
            match SigningKey::unseal(public.clone(), &active.sealed_private, &keyring) {
                Ok(_opened) => return Ok(root),
                Err(SigningKeyError::Keyring(KeyringError::Unopenable)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RootKeyError::WrongMasterKey)
    }
}

async fn read(db: &Db) -> Result<Stored, DbError> {
    let read = async |tx: &mut PlatformTx| {
        let (roots, signing) = (root_keys::list(tx).await?, signing_keys::list(tx).await?);
        Ok(Stored { roots, signing, has_tenants: root_keys::has_tenants(tx).await? })
    };
    db.platform_read(Authority::machinery(), read).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_32_bytes_of_padded_base64_and_nothing_else() {
        assert!(STANDARD.encode([7; 32]).parse::<MasterKey>().is_ok());
        let padded = STANDARD.encode([7; 32]);
        for bad in [
            String::new(),
            STANDARD.encode([7; 31]),
            STANDARD.encode([7; 33]),
            STANDARD.encode([7; 64]),
            padded.trim_end_matches('=').to_owned(),
            format!("{padded}\n"),
            format!(" {padded}"),
            "07".repeat(32),
            "correct horse battery staple".to_owned(),
        ] {
            assert_eq!(bad.parse::<MasterKey>().err(), Some(KeyringError::MasterKey), "{bad:?} was accepted");
        }
    }

    /// Computed with an independent implementation (Python's `hmac`, HKDF written from RFC 5869). A change here means that no
    /// stored root key would be found any more.
    #[test]
    fn fingerprints_do_not_change_between_versions() {
        assert_eq!(MasterKey::from([1; 32]).fingerprint().unwrap(), "XaAmcFd7u9qqKRJvHRv9GS");
    }

    #[test]
    fn a_root_key_opens_with_the_master_key_that_sealed_it_alone() {
        let (one, two) = (MasterKey::from([1; 32]), MasterKey::from([2; 32]));
        let root = RootKey::from([9; 32]);
        let sealed = one.seal(&root).unwrap();
        assert_eq!(one.open(&sealed), Ok(root));
        assert_eq!(two.open(&sealed), Err(KeyringError::Unopenable));
        assert_ne!(one.fingerprint().unwrap(), two.fingerprint().unwrap());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(one.open(&changed), Err(KeyringError::Unopenable), "byte {at}");
        }
    }

    /// A root key can be its first master key's bytes: nothing that one of them seals opens with what the other derives.
    #[test]
    fn the_two_kinds_of_keys_have_nothing_in_common_even_of_the_same_bytes() {
        let (master, root) = (MasterKey::from([1; 32]), RootKey::from([1; 32]));
        let (sealed, fingerprint) = (master.seal(&root).unwrap(), master.fingerprint().unwrap());
        assert!(Keyring::new(&root).unwrap().open(&sealed, &fingerprint).is_err());
        // Not a root key: what a signing key's seal would give.
        let foreign = Keyring::new(&root).unwrap().seal(&[9; 32], &fingerprint).unwrap();
        assert_eq!(master.open(&foreign), Err(KeyringError::Unopenable));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let keys = MasterKeys { current: [65; 32].into(), previous: Some([66; 32].into()) };
        assert_eq!(
            format!("{keys:?} {:?}", RootKey::from([65; 32])),
            "MasterKeys { current: MasterKey(..), previous: Some(MasterKey(..)) } RootKey(..)"
        );
    }
}
