//! The keys that sign access tokens.
//!
//! Owns their making (RSA, 2048 bits), their names (RFC 7638 thumbprints), their public form (JWK) and the set of keys a
//! node trusts at a time. Signing and verifying is aws-lc's work; the `rsa` crate makes keys and writes PEM, never more.
//! Refuses to give the private part away unsealed, and to use a private key that does not belong to its public half.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, LineEnding, SecretDocument, der::zeroize::Zeroizing},
    rand_core::OsRng,
    traits::PublicKeyParts,
};
use serde::{Deserialize, Serialize};

use crate::keyring::{Keyring, KeyringError};

/// The one algorithm. It is never read from a token.
const ALGORITHM: Algorithm = Algorithm::RS256;
const BITS: usize = 2048;
/// 65537, the public exponent of every key made here.
const EXPONENT: &str = "AQAB";

/// Why a signing key cannot be made or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// No key could be made.
    #[error("a signing key could not be made")]
    Generation,
    /// The stored public part is not one of ours, or was changed.
    #[error("a stored public key is not a 2048-bit RS256 signing key under its own thumbprint")]
    PublicKey,
    /// The stored private part is not a private key.
    #[error("a stored private key is unreadable")]
    PrivateKey,
    /// The private key signs what the public key does not verify.
    #[error("a stored private key does not belong to its public key")]
    Mismatch,
    /// There is no key to sign with.
    #[error("no signing key can be used")]
    NoneActive,
    /// The stored private part could not be sealed or opened.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// A public key as the world reads it (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    n: String,
    e: String,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
    kid: String,
}

/// The public half of a signing key.
#[derive(Clone)]
pub struct VerifyingKey {
    jwk: Jwk,
    /// Read once. `jsonwebtoken`'s `DecodingKey` would be read again for every token, a fifth of what checking one takes.
    key: ParsedPublicKey,
}

impl VerifyingKey {
    /// Reads what [`Self::to_jwk`] wrote. The thumbprint is computed again: a key cannot be stored under another's name.
    pub fn from_jwk(jwk: &serde_json::Value) -> Result<Self, SigningKeyError> {
        let jwk = Jwk::deserialize(jwk).map_err(|_json| SigningKeyError::PublicKey)?;
        let key = Self::from_modulus(&jwk.n)?;
        if key.jwk == jwk { Ok(key) } else { Err(SigningKeyError::PublicKey) }
    }

    fn from_modulus(n: &str) -> Result<Self, SigningKeyError> {
        let modulus = URL_SAFE_NO_PAD.decode(n).map_err(|_base64| SigningKeyError::PublicKey)?;
        // The top bit is set in every modulus of exactly this size.
        if modulus.len() != BITS / 8 || modulus.first().is_none_or(|byte| *byte < 0x80) {
            return Err(SigningKeyError::PublicKey);
        }
        let exponent = URL_SAFE_NO_PAD.decode(EXPONENT).map_err(|_base64| SigningKeyError::PublicKey)?;
        let key = RsaPublicKeyComponents { n: &modulus, e: &exponent }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_rejected| SigningKeyError::PublicKey)?;
        let jwk = Jwk {
            kty: "RSA".to_owned(),
            n: n.to_owned(),
            e: EXPONENT.to_owned(),
            usage: "sig".to_owned(),
            alg: "RS256".to_owned(),
            kid: thumbprint(n),
        };
        Ok(Self { jwk, key })
    }

    /// The key's name: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.jwk.kid
    }

    /// The key as a JWK, for storage.
    pub fn to_jwk(&self) -> serde_json::Value {
        let Jwk { kty, n, e, usage, alg, kid } = &self.jwk;
        serde_json::json!({ "kty": kty, "n": n, "e": e, "use": usage, "alg": alg, "kid": kid })
    }

    /// Whether `signature`, in base64url, is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        URL_SAFE_NO_PAD.decode(signature).is_ok_and(|bytes| self.key.verify_sig(message, &bytes).is_ok())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.kid())
    }
}

/// A key that signs.
pub struct SigningKey {
    public: VerifyingKey,
    /// Read and checked once. `jsonwebtoken`'s `EncodingKey` would be read again for every signature, which takes longer
    /// than signing does.
    private: RsaKeyPair,
    pem: Zeroizing<String>,
}

impl SigningKey {
    /// Makes a new key. Takes from tenths of a second to seconds of processor time: call it on a blocking thread.
    pub fn generate() -> Result<Self, SigningKeyError> {
        let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(|_rsa| SigningKeyError::Generation)?;
        let public = VerifyingKey::from_modulus(&URL_SAFE_NO_PAD.encode(key.n().to_bytes_be()))?;
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_pkcs8| SigningKeyError::Generation)?;
        Self::pair(public, pem)
    }

    /// Opens a stored key. The sealed bytes open only under the name of the public key they are stored with.
    pub fn unseal(public: VerifyingKey, sealed: &[u8], keyring: &Keyring) -> Result<Self, SigningKeyError> {
        let name = public.kid().to_owned();
        Self::unseal_as(public, sealed, keyring, &name)
    }

    /// [`Self::unseal`] for a key that was sealed under another name than its own.
    pub(crate) fn unseal_as(
        public: VerifyingKey,
        sealed: &[u8],
        keyring: &Keyring,
        name: &str,
    ) -> Result<Self, SigningKeyError> {
        let pem = keyring.open(sealed, name)?;
        let pem = String::from_utf8(pem).map_err(|_not_text| SigningKeyError::PrivateKey)?;
        Self::pair(public, Zeroizing::new(pem))
    }

    /// The private part as it may be stored: PKCS#8 PEM, sealed.
    pub fn sealed(&self, keyring: &Keyring) -> Result<Vec<u8>, SigningKeyError> {
        self.sealed_as(keyring, self.public.kid())
    }

    /// [`Self::sealed`], under another name than its own.
    pub(crate) fn sealed_as(&self, keyring: &Keyring, name: &str) -> Result<Vec<u8>, SigningKeyError> {
        Ok(keyring.seal(self.pem.as_bytes(), name)?)
    }

    /// The public half.
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signature over `message`, in base64url.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<String, SigningKeyError> {
        let mut signature = vec![0; self.private.public_modulus_len()];
        self.private
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_aws_lc| SigningKeyError::PrivateKey)?;
        Ok(URL_SAFE_NO_PAD.encode(signature))
    }

    fn pair(public: VerifyingKey, pem: Zeroizing<String>) -> Result<Self, SigningKeyError> {
        let (_label, der) = SecretDocument::from_pem(&pem).map_err(|_pem| SigningKeyError::PrivateKey)?;
        let private =
            RsaKeyPair::from_pkcs8(der.as_bytes()).map_err(|_rejected| SigningKeyError::PrivateKey)?;
        let key = Self { public, private, pem };
        let signature = key.sign(b"one pair")?;
        // The signature is also checked with the key as a client that fetches it from us reads it.
        let fetched = DecodingKey::from_rsa_components(&key.public.jwk.n, EXPONENT);
        let fetched = fetched.map_err(|_key| SigningKeyError::PublicKey)?;
        let theirs = crypto::verify(&signature, b"one pair", &fetched, ALGORITHM).unwrap_or(false);
        if theirs && key.public.verifies(b"one pair", &signature) {
            Ok(key)
        } else {
            Err(SigningKeyError::Mismatch)
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.kid())
    }
}

/// The keys that a node knows at a time: one that signs, those whose tokens may still be around, and those that will sign.
#[derive(Debug)]
pub struct KeySet {
    active: Option<Arc<SigningKey>>,
    trusted: BTreeMap<String, VerifyingKey>,
    announced: BTreeMap<String, VerifyingKey>,
    jwks: String,
}

impl KeySet {
    /// A set that signs with `active` and also trusts `others`, which sign no more and whose tokens live.
    pub fn new(active: SigningKey, others: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let public = active.public.clone();
        Self::of(Some(Arc::new(active)), others.into_iter().chain([public]), [])
    }

    /// A set that signs with `active`, if with anything, and trusts these keys. Those that are `announced` are published, so that
    /// all who verify tokens know them before they sign, and no token of theirs is good.
    pub fn of(
        active: Option<Arc<SigningKey>>,
        trusted: impl IntoIterator<Item = VerifyingKey>,
        announced: impl IntoIterator<Item = VerifyingKey>,
    ) -> Self {
        let named = |key: VerifyingKey| (key.kid().to_owned(), key);
        let trusted: BTreeMap<_, _> = trusted.into_iter().map(named).collect();
        let announced: BTreeMap<_, _> =
            announced.into_iter().map(named).filter(|(kid, _)| !trusted.contains_key(kid)).collect();
        let keys: Vec<_> = trusted.values().chain(announced.values()).map(VerifyingKey::to_jwk).collect();
        let jwks = serde_json::json!({ "keys": keys }).to_string();
        Self { active, trusted, announced, jwks }
    }

    /// The JSON document of `/.well-known/jwks.json` (RFC 7517 section 5): public parts only.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The key that signs now.
    pub fn active(&self) -> Result<&SigningKey, SigningKeyError> {
        self.active.as_deref().ok_or(SigningKeyError::NoneActive)
    }

    pub(crate) fn signer(&self) -> Option<Arc<SigningKey>> {
        self.active.clone()
    }

    /// The trusted key of exactly this name.
    pub fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.trusted.get(kid)
    }

    /// The key of exactly this name that is published and does not sign yet.
    pub fn announced(&self, kid: &str) -> Option<&VerifyingKey> {
        self.announced.get(kid)
    }

    /// The names of the trusted keys.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = &str> {
        self.trusted.keys().map(String::as_str)
    }
}

/// RFC 7638: SHA-256 over the required members in alphabetical order, without blanks.
fn thumbprint(n: &str) -> String {
    let canonical = format!(r#"{{"e":"{EXPONENT}","kty":"RSA","n":"{n}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}
