//! The key that signs exports and anchors of audit logs.
//!
//! Owns that it is another key than those that sign access tokens: those are gone an hour after they were retired, and an auditor
//! verifies after years. Its private part is sealed with the root key under a name of its own, so a row of the one table is of no use
//! in the other. Public parts are published and never deleted. Refuses to sign bytes: what is signed is a purpose and a digest, and
//! no purpose is a form of token.

use std::sync::Arc;

use bulkhead_db::{
    Authority, Db, DbError, PlatformTx,
    platform::{audit_keys, signing_keys::NewSigningKey},
};
use serde_json::{Value, json};

use crate::{
    keyring::Keyring,
    signing_keys::{SigningKey, SigningKeyError, VerifyingKey},
};

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A slice of an audit log.
    Export,
    /// The heads of all chains.
    Anchor,
}

impl Signed {
    /// The first line of what is signed; the digest is the second.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Export => "bulkhead-audit-export-1",
            Self::Anchor => "bulkhead-audit-anchor-1",
        }
    }

    /// What is signed for a file whose bytes have this SHA-256, in hexadecimal digits.
    fn message(self, digest: &str) -> String {
        format!("{}\n{digest}", self.purpose())
    }
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum AuditKeyError {
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A signature over a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub kid: String,
    /// RSASSA-PKCS1-v1_5 with SHA-256, in base64url.
    pub text: String,
}

/// Signs with the newest key.
#[derive(Debug)]
pub struct AuditSigner {
    key: SigningKey,
}

impl AuditSigner {
    /// The newest key; the first one is made when it is asked for.
    pub async fn load(db: &Db, keyring: &Arc<Keyring>) -> Result<Self, AuditKeyError> {
        let read = async |tx: &mut PlatformTx| audit_keys::newest(tx).await;
        let newest = db.platform_read::<_, DbError>(Authority::machinery(), read).await?;
        let Some((public, sealed)) = newest else { return Self::make(db, keyring).await };
        let public = VerifyingKey::from_jwk(&public)?;
        let name = sealed_as(public.kid());
        Ok(Self { key: SigningKey::unseal_as(public, &sealed, keyring, &name)? })
    }

    async fn make(db: &Db, keyring: &Arc<Keyring>) -> Result<Self, AuditKeyError> {
        let generated = tokio::task::spawn_blocking(SigningKey::generate).await;
        let key = generated.unwrap_or(Err(SigningKeyError::Generation))?;
        let kid = key.public().kid().to_owned();
        let sealed_private = key.sealed_as(keyring, &sealed_as(&kid))?;
        let row = NewSigningKey { kid, public_jwk: key.public().to_jwk(), sealed_private };
        let insert = async |tx: &mut PlatformTx| audit_keys::insert(tx, &row).await;
        db.platform_write::<_, DbError>(Authority::machinery(), insert).await?;
        Ok(Self { key })
    }

    /// The signature over a file whose bytes have this SHA-256, in hexadecimal digits.
    pub fn sign(&self, what: Signed, digest: &str) -> Result<Signature, SigningKeyError> {
        let text = self.key.sign(what.message(digest).as_bytes())?;
        Ok(Signature { kid: self.key.public().kid().to_owned(), text })
    }
}

/// The public parts of all keys as a JSON Web Key Set (RFC 7517).
pub async fn audit_jwks(db: &Db) -> Result<Value, DbError> {
    let read = async |tx: &mut PlatformTx| audit_keys::public(tx).await;
    Ok(json!({ "keys": db.platform_read::<_, DbError>(Authority::machinery(), read).await? }))
}

/// Whether one of these keys, of a JSON Web Key Set, has signed the digest.
pub fn is_signed(keys: &Value, what: Signed, digest: &str, signature: &Signature) -> bool {
    let keys = keys.get("keys").and_then(Value::as_array).into_iter().flatten();
    let mut named = keys.filter_map(|jwk| VerifyingKey::from_jwk(jwk).ok());
    named.any(|key| {
        key.kid() == signature.kid && key.verifies(what.message(digest).as_bytes(), &signature.text)
    })
}

/// The name under which the private part is sealed.
fn sealed_as(kid: &str) -> String {
    format!("audit {kid}")
}
