//! Meters: what is counted for billing.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::TextError;

/// What is counted for billing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Billable requests: authenticated, admitted and answered with a status below 500, save 401, 403, 429 and
    /// unknown routes. A replay of an idempotent request counts.
    ApiRequests,
    /// Wall-clock time spent on billable requests, from admission to the finished response, without the time in which a
    /// request waits: for its body, or for large requests of the same tenant.
    ComputeMs,
    /// Bytes of request bodies.
    IngressBytes,
    /// Bytes of response bodies.
    EgressBytes,
}

impl Meter {
    /// Every meter.
    pub const ALL: [Self; 4] = [Self::ApiRequests, Self::ComputeMs, Self::IngressBytes, Self::EgressBytes];

    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiRequests => "api_requests",
            Self::ComputeMs => "compute_ms",
            Self::IngressBytes => "ingress_bytes",
            Self::EgressBytes => "egress_bytes",
        }
    }

    /// The unit a quantity of this meter is given in.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::ApiRequests => "request",
            Self::ComputeMs => "millisecond",
            Self::IngressBytes | Self::EgressBytes => "byte",
        }
    }
}

impl TryFrom<String> for Meter {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for Meter {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL
            .into_iter()
            .find(|meter| meter.as_str() == text)
            .ok_or(TextError::new("must be api_requests, compute_ms, ingress_bytes or egress_bytes"))
    }
}

/// The longest name of a meter, in bytes.
const MAX_NAME: usize = 63;

/// Whether a text has the form of a meter's name: a lower-case letter, then lower-case letters, digits and underscores,
/// 63 in all at most. `gate.count_usage` and the tables of PostgreSQL ask for the same.
const fn has_form(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut rest = match bytes {
        [b'a'..=b'z', rest @ ..] if bytes.len() <= MAX_NAME => rest,
        _ => return false,
    };
    while let [byte, behind @ ..] = rest {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        rest = behind;
    }
    true
}

/// The name of a meter that may be another program's: of a meter's form, whether or not this program has declared it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeterText(Cow<'static, str>);

impl MeterText {
    /// The word the database and the API use.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MeterText {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if has_form(text) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(TextError::new(
                "must be the name of a meter: a to z, then a to z, 0 to 9 and _, at most 63 in all",
            ))
        }
    }
}

impl fmt::Display for MeterText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_meters_name_is_what_its_form_says(text in "[a-z0-9_A-Z.]{0,5}|[a-z]{60,66}|\\PC{0,4}") {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let is_one = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(inner) && text.len() <= 63;
            prop_assert_eq!(text.parse::<MeterText>().is_ok(), is_one);
        }
    }
}
