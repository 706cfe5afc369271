//! Tokens that others have signed.
//!
//! Owns their reading: three segments, an algorithm that is taken, the claims that decide with their exact types, and the
//! signature of a key that the issuer has published. What a header says beside algorithm and key name is not listened to, and
//! a header that brings a key along, or extensions that must be understood, is refused. Access tokens and id tokens are told
//! apart: each is refused where the other belongs.
//!
//! Refuses to say whose token it is before its signature was verified, but for what the look-up of the issuer needs
//! ([`Presented`]).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

use crate::keys::{Algorithm, Keys};

/// The longest token that is looked at, in bytes.
pub const LONGEST: usize = 8 * 1024;
/// How far the issuer's clock and ours may be apart.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// The longest life of a token that is accepted.
pub const MAX_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The longest subject, in characters: `OpenID` Connect allows 255 of ASCII.
pub const LONGEST_SUBJECT: usize = 255;
/// How many audiences a token may name.
const AUDIENCES: usize = 16;

/// Why a token is refused. For the log: the caller learns only that it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`LONGEST`].
    #[error("longer than {LONGEST} bytes")]
    TooLong,
    /// Not three base64url segments with the right JSON in them.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Another algorithm than RS256 and ES256.
    #[error("signed with an algorithm that is not taken")]
    Algorithm,
    /// Signed with none of the issuer's keys.
    #[error("the signature does not match any key of that name")]
    Signature,
    /// Of another issuer.
    #[error("another issuer")]
    Issuer,
    /// For another audience, or another client.
    #[error("another audience")]
    Audience,
    /// An id token where an access token belongs, or the other way round, or neither.
    #[error("a token of another kind")]
    Kind,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    NotYetValid,
    /// It lives longer than [`MAX_LIFETIME`].
    #[error("lives for too long")]
    Lifetime,
    /// Made for another log-in.
    #[error("another nonce")]
    Nonce,
    /// It does not belong to the access token that came with it.
    #[error("another access token")]
    AccessTokenHash,
}

/// Whose tokens have which claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As `OpenID` Connect and RFC 9068 have it.
    Oidc,
    /// As AWS Cognito has it: `token_use` tells the kind, and an access token names its client instead of an audience.
    Cognito,
}

/// What a token must be.
#[derive(Clone, Copy, Debug)]
pub enum Expected<'a> {
    /// An access token for this audience; of Cognito, for this client.
    Access {
        /// The audience.
        audience: &'a str,
    },
    /// An id token for this client, from the log-in with this nonce.
    Id {
        /// The client.
        client_id: &'a str,
        /// The nonce of the log-in; `None` where there was no browser that could be sent elsewhere.
        nonce: Option<&'a str>,
        /// The access token that came with it.
        access_token: Option<&'a str>,
    },
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    // Members that would bring a key along, or change what a signature is over.
    #[serde(default, deserialize_with = "absent")]
    #[expect(dead_code, reason = "it is refused where it is read")]
    jwk: (),
    #[serde(default, deserialize_with = "absent")]
    #[expect(dead_code, reason = "it is refused where it is read")]
    jku: (),
    #[serde(default, deserialize_with = "absent")]
    #[expect(dead_code, reason = "it is refused where it is read")]
    x5u: (),
    #[serde(default, deserialize_with = "absent")]
    #[expect(dead_code, reason = "it is refused where it is read")]
    x5c: (),
    #[serde(default, deserialize_with = "absent")]
    #[expect(dead_code, reason = "it is refused where it is read")]
    crit: (),
    #[serde(default, deserialize_with = "absent")]
    #[expect(dead_code, reason = "it is refused where it is read")]
    b64: (),
    #[serde(default, deserialize_with = "absent")]
    #[expect(dead_code, reason = "it is refused where it is read")]
    enc: (),
}

fn absent<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(D::Error::custom("must not be there"))
}

/// What a verified token says.
#[derive(Debug, Deserialize)]
pub struct Claims {
    iss: String,
    /// Whom it speaks for, in the issuer's words.
    pub sub: String,
    #[serde(default)]
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    iat: i64,
    client_id: Option<String>,
    azp: Option<String>,
    token_use: Option<String>,
    typ: Option<String>,
    nonce: Option<String>,
    at_hash: Option<String>,
    c_hash: Option<String>,
    events: Option<Value>,
    /// The person's address, if it is told.
    pub email: Option<String>,
    /// Whether the issuer has seen that the address is the person's. Cognito writes it as a text in some answers.
    #[serde(default, deserialize_with = "truth")]
    pub email_verified: bool,
    /// Everything else.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Audience {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn all(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// `true`, or the text that Cognito has for it. Everything else is not true.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(is_true) => is_true,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    })
}

impl Claims {
    /// When the token ends by itself.
    pub fn expires_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_secs(self.exp).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// The texts of a claim: one, or those of a list.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        match self.rest.get(name) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// A token that was read and not verified: anybody may have written it.
pub struct Presented<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    message: &'a str,
    signature: Vec<u8>,
    claims: Claims,
}

/// What a token says stays out of logs.
impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl<'a> Presented<'a> {
    /// Reads a token.
    pub fn read(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let mut segments = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(TokenError::Malformed("token"));
        };
        let message = text.get(..header.len() + 1 + claims.len()).unwrap_or_default();
        let decode =
            |segment, what| URL_SAFE_NO_PAD.decode(segment).map_err(|_base64| TokenError::Malformed(what));
        let header: Header = serde_json::from_slice(&decode(header, "header")?)
            .map_err(|_json| TokenError::Malformed("header"))?;
        let algorithm = Algorithm::of(&header.alg).ok_or(TokenError::Algorithm)?;
        let claims: Claims = serde_json::from_slice(&decode(claims, "claims")?)
            .map_err(|_json| TokenError::Malformed("claims"))?;
        let signature = decode(signature, "signature")?;
        Ok(Self { algorithm, kid: header.kid, typ: header.typ, message, signature, claims })
    }

    /// Who is said to have issued it.
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Whom it is said to be for: its audiences and its client.
    pub fn audiences(&self) -> Vec<&str> {
        let own = self.claims.aud.all().iter().take(AUDIENCES).map(String::as_str);
        own.chain(self.claims.client_id.as_deref()).collect()
    }

    /// What the claim of this name is said to be.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.rest.get(claim).and_then(Value::as_str)
    }

    /// The key that it is said to be signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// How it is said to be signed.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What the token says, if one of these keys has signed it and it is what is expected, at `now`.
    pub fn verify(
        self,
        keys: &Keys,
        issuer: &str,
        kind: Kind,
        expected: Expected<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, TokenError> {
        if self.is_signed_by(keys) {
            self.check(issuer, kind, expected, now)
        } else {
            Err(TokenError::Signature)
        }
    }

    /// Whether one of these keys has signed it.
    pub(crate) fn is_signed_by(&self, keys: &Keys) -> bool {
        keys.verify(self.kid(), self.algorithm, self.message.as_bytes(), &self.signature)
    }

    /// What the token says, whose signature is good, if it is what is expected.
    pub(crate) fn check(
        self,
        issuer: &str,
        kind: Kind,
        expected: Expected<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, TokenError> {
        let Self { claims, typ, .. } = self;
        if claims.iss != issuer {
            return Err(TokenError::Issuer);
        }
        claims.check_times(now)?;
        claims.check_kind(typ.as_deref(), kind, expected)?;
        let length = claims.sub.chars().count();
        if length == 0 || length > LONGEST_SUBJECT || claims.sub.chars().any(char::is_control) {
            return Err(TokenError::Malformed("subject"));
        }
        Ok(claims)
    }
}

impl Claims {
    fn check_times(&self, now: DateTime<Utc>) -> Result<(), TokenError> {
        let moment = |seconds| DateTime::from_timestamp_secs(seconds).ok_or(TokenError::Malformed("time"));
        let (exp, iat, nbf) = (moment(self.exp)?, moment(self.iat)?, self.nbf.map(moment).transpose()?);
        // The leeway goes to `now`, never to a claim: the last moment that can be written has no later one.
        if now - LEEWAY >= exp {
            return Err(TokenError::Expired);
        }
        if now + LEEWAY < iat || nbf.is_some_and(|nbf| now + LEEWAY < nbf) {
            return Err(TokenError::NotYetValid);
        }
        if exp <= iat || exp - iat > MAX_LIFETIME { Err(TokenError::Lifetime) } else { Ok(()) }
    }

    fn check_kind(&self, typ: Option<&str>, kind: Kind, expected: Expected<'_>) -> Result<(), TokenError> {
        let typ = typ.map(str::to_ascii_lowercase);
        let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        // Logout tokens have events.
        if self.events.is_some() {
            return Err(TokenError::Kind);
        }
        match expected {
            Expected::Access { audience } => {
                let is_of_log_in = self.nonce.is_some() || self.at_hash.is_some() || self.c_hash.is_some();
                let is_typed = matches!(typ, None | Some("jwt" | "at+jwt"))
                    // Keycloak tells what a token is by a claim.
                    && self.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("bearer"));
                let (is_kind, is_for_us) = match kind {
                    Kind::Oidc => {
                        (self.token_use.is_none(), self.aud.all().iter().any(|one| one == audience))
                    }
                    Kind::Cognito => (
                        self.token_use.as_deref() == Some("access"),
                        self.client_id.as_deref() == Some(audience),
                    ),
                };
                if is_of_log_in || !is_typed || !is_kind {
                    return Err(TokenError::Kind);
                }
                if is_for_us { Ok(()) } else { Err(TokenError::Audience) }
            }
            Expected::Id { client_id, nonce, access_token } => {
                let is_typed = matches!(typ, None | Some("jwt"))
                    && self.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("id"));
                let is_kind = match kind {
                    Kind::Oidc => self.token_use.is_none(),
                    Kind::Cognito => self.token_use.as_deref() == Some("id"),
                };
                if !is_typed || !is_kind {
                    return Err(TokenError::Kind);
                }
                // A token for others, too, names the one that it was given to.
                let audiences = self.aud.all();
                let is_for_us = audiences.iter().any(|one| one == client_id)
                    && (audiences.len() == 1 || self.azp.is_some())
                    && self.azp.as_deref().is_none_or(|azp| azp == client_id);
                if !is_for_us {
                    return Err(TokenError::Audience);
                }
                if nonce.is_some() && self.nonce.as_deref() != nonce {
                    return Err(TokenError::Nonce);
                }
                self.check_hash(access_token)
            }
        }
    }

    /// An id token that names an access token names the one beside it (`OpenID` Connect Core 3.1.3.6). Both algorithms that are
    /// taken hash with SHA-256.
    fn check_hash(&self, access_token: Option<&str>) -> Result<(), TokenError> {
        let Some((named, token)) = self.at_hash.as_deref().zip(access_token) else { return Ok(()) };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let half = digest.as_ref().get(..16).unwrap_or_default();
        if URL_SAFE_NO_PAD.encode(half) == named { Ok(()) } else { Err(TokenError::AccessTokenHash) }
    }
}
