//! Time-based one-time passwords (RFC 6238): six digits of HMAC-SHA-1, another one every thirty seconds.
//!
//! Owns the numbers alone. Which of them were used, and how often one may guess, is for those who store and count. Rejected:
//! `totp-rs`, which is well kept, and brings three crates of hashes beside aws-lc for the ten lines of RFC 4226.

use std::fmt;

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;

use crate::random::{self, NoEntropy};

/// How long a code is shown, in seconds.
const PERIOD: i64 = 30;

/// How many steps a phone's clock may be off, to either side.
const DRIFT: i64 = 1;

/// How many bytes a secret has: as many as a SHA-1, as RFC 4226 section 4 asks.
const SECRET_LENGTH: usize = 20;

/// The secret that a person's phone makes codes of. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Vec<u8>);

impl TotpSecret {
    /// Makes one.
    pub fn random() -> Result<Self, NoEntropy> {
        Ok(Self(random::bytes::<SECRET_LENGTH>()?.to_vec()))
    }

    pub(crate) const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret as a person types it into an app: base32 without padding.
    pub fn reveal(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// The address that apps read from a picture, in the form that Google Authenticator has made common. `issuer` is what the
    /// app shows above the code, `account` what it shows below.
    pub fn uri(&self, issuer: &str, account: &str) -> String {
        let (issuer, account) = (escaped(issuer), escaped(account));
        let secret = self.reveal();
        format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period={PERIOD}"
        )
    }

    /// The time step of a code that the phone shows at `now`, give or take one: the latest that has it and is after `used`.
    /// `None` for any other text.
    pub fn step_of(&self, code: &str, now: DateTime<Utc>, used: i64) -> Option<i64> {
        if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let present = now.timestamp().div_euclid(PERIOD);
        // A guesser learns nothing from the time it takes: all steps are looked at, and a code is no stored secret.
        let steps = (present - DRIFT..=present + DRIFT).filter(|step| self.code(*step) == code);
        steps.filter(|step| *step > used).max()
    }

    /// The secret that a person has typed into an app.
    #[doc(hidden)]
    pub fn typed(text: &str) -> Option<Self> {
        BASE32_NOPAD.decode(text.as_bytes()).ok().map(Self)
    }

    /// The code that a phone shows at `now`.
    #[doc(hidden)]
    pub fn code_at(&self, now: DateTime<Utc>) -> String {
        self.code(now.timestamp().div_euclid(PERIOD))
    }

    /// RFC 4226 section 5.3 of a time step.
    fn code(&self, step: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = tag.last().map_or(0, |last| usize::from(last & 0x0f));
        let chosen = tag.iter().skip(offset).take(4);
        let number = chosen.fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

/// A text as a part of a URI: everything but RFC 3986's unreserved characters is written in percent.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890".to_vec())
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_secs(seconds).unwrap()
    }

    /// RFC 6238 appendix B, SHA-1: the last six of its eight digits.
    #[test]
    fn the_codes_are_those_of_the_standard() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code_at(at(seconds)), code);
            assert_eq!(secret().step_of(code, at(seconds), 0), Some(seconds / 30));
        }
    }

    /// RFC 4226 appendix D, whose counters are steps here.
    #[test]
    fn the_numbers_of_the_standard_for_counters_are_met() {
        let numbers =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871"];
        for (step, number) in numbers.into_iter().enumerate() {
            assert_eq!(secret().code(i64::try_from(step).unwrap()), number);
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_one_late_and_never_again() {
        let now = 1_800_000_015;
        let step = now / 30;
        let code = |step: i64| secret().code(step);
        for (off, expected) in
            [(-2, None), (-1, Some(step - 1)), (0, Some(step)), (1, Some(step + 1)), (2, None)]
        {
            assert_eq!(secret().step_of(&code(step + off), at(now), 0), expected, "{off}");
        }
        assert_eq!(secret().step_of(&code(step), at(now), step - 1), Some(step));
        assert_eq!(secret().step_of(&code(step), at(now), step), None);
        // The code of the step after is used: those before are used up with it.
        assert_eq!(secret().step_of(&code(step), at(now), step + 1), None);
    }

    #[test]
    fn what_is_no_code_is_none() {
        for text in ["", "28708", "2870822", "28708a", " 87082", "２８７０８２", "-87082", "+87082"] {
            assert_eq!(secret().step_of(text, at(59), 0), None, "{text}");
        }
    }

    #[test]
    fn apps_can_read_the_address() {
        assert_eq!(
            secret().uri("Bulk head", "a+b@example.com"),
            "otpauth://totp/Bulk%20head:a%2Bb%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Bulk%20head&algorithm=SHA1&digits=6&period=30",
        );
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", secret()), "TotpSecret(..)");
    }
}
