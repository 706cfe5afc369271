//! Values that no message, log line or `Debug` shows.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};

/// The 256-bit key from which the keys for sealing secrets and keying digests are derived. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// The key itself.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl FromStr for MasterKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The decoder's own message quotes a byte of the secret.
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        // One byte repeated is a placeholder, not a key.
        bytes
            .filter(|bytes| bytes.iter().any(|byte| Some(byte) != bytes.first()))
            .map(Self)
            .ok_or_else(|| "not the base64 of 32 random bytes (openssl rand -base64 32)".to_owned())
    }
}

/// A password that stands by itself, such as one that a service rotates. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A text whose form somebody else has checked.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl FromStr for Password {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sound = (1..=1_000).contains(&text.len()) && !text.contains('\0');
        let refused =
            || "not a password: it is empty, longer than 1,000 bytes, or has a NUL in it".to_owned();
        sound.then(|| Self(text.to_owned())).ok_or_else(refused)
    }
}
