//! The keys that an issuer publishes, and which of them may have signed a token.
//!
//! Owns the reading of a JSON Web Key Set (RFC 7517). Taken are RSA keys of 2,048 to 8,192 bits for RS256 and keys on P-256 for
//! ES256; other keys in a set are left out, because issuers publish some for encryption and for algorithms of their own. The
//! algorithm of a signature is the key's; what the token says has to agree and decides nothing.
//!
//! Two keys of one name are both tried: which one signs is the issuer's affair, and either is its own. A token without a name is
//! tried with all keys of its algorithm. How many there are is bounded.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

/// How many keys a set may have. Issuers publish two to six; all that could be tried for one token would otherwise cost us time.
pub const MOST: usize = 32;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// The algorithm that a header names; `None` unless it is one that is taken.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// Why a set of keys is of no use; a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is not JSON of the right form.
    #[error("it is no JSON Web Key Set")]
    Form,
    /// There are more than [`MOST`].
    #[error("it has more than {MOST} keys")]
    TooMany,
    /// None of them can verify tokens.
    #[error("it has no key for RS256 or ES256")]
    None,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

/// The keys of an issuer.
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads a key set.
    pub fn read(json: &[u8]) -> Result<Self, KeysError> {
        let Set { keys } = serde_json::from_slice(json).map_err(|_json| KeysError::Form)?;
        if keys.len() > MOST {
            return Err(KeysError::TooMany);
        }
        let keys: Vec<Key> = keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(KeysError::None) } else { Ok(Self(keys)) }
    }

    /// Whether a token of this name and algorithm can be verified with one of them.
    pub fn has(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.candidates(kid, algorithm).next().is_some()
    }

    /// Whether one of the keys of this name has signed the message.
    pub fn verify(&self, kid: Option<&str>, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.candidates(kid, algorithm).any(|key| key.public.verify_sig(message, signature).is_ok())
    }

    fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let is_named = move |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
        self.0.iter().filter(move |key| key.algorithm == algorithm).filter(is_named)
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.kid)).finish()
    }
}

impl Key {
    /// `None` for a key that cannot verify tokens, or that is not one.
    fn read(jwk: Jwk) -> Option<Self> {
        let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !verifies {
            return None;
        }
        let part = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let (algorithm, public) = match jwk.kty.as_str() {
            "RSA" => {
                let (n, e) = (part(jwk.n)?, part(jwk.e)?);
                let key = RsaPublicKeyComponents { n: &n, e: &e };
                (Algorithm::Rs256, key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?)
            }
            "EC" if jwk.crv.as_deref() == Some("P-256") => {
                let (x, y) = (part(jwk.x)?, part(jwk.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                let point = [&[4], x.as_slice(), &y].concat();
                (Algorithm::Es256, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?)
            }
            _ => return None,
        };
        let agrees = jwk.alg.is_none_or(|name| Algorithm::of(&name) == Some(algorithm));
        agrees.then_some(Self { kid: jwk.kid, algorithm, public })
    }
}
