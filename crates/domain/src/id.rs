//! Typed identifiers.
//!
//! Every id is a UUIDv7 (RFC 9562), so ids sort by creation time, and a process mints them without asking a server.
//! Outside the database they are written as a type prefix and 26 characters of lower-case Crockford base32,
//! `ten_01h455vb4pex5vsknk084sn02q`: a user id pasted where a resource id belongs is refused before any query. Each id
//! has exactly one spelling.

use std::{fmt, str::FromStr, sync::LazyLock};

use chrono::{DateTime, Utc};
use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{NoContext, Timestamp, Uuid};

/// Crockford's base32 alphabet in lower case: no `i`, `l`, `o`, `u`, and the order of the text is the order of the bytes.
#[expect(clippy::expect_used, reason = "a constant specification, exercised by every test of this module")]
pub(crate) static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    spec.encoding().expect("the base32 alphabet is valid")
});

/// Why a text is not an id of the wanted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {expected}… id")]
pub struct IdError {
    /// The prefix that the id should have carried, with its underscore.
    pub expected: &'static str,
}

/// Parses `text` as `prefix` followed by the base32 of a UUID.
fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let refused = IdError { expected: prefix };
    let body = text.strip_prefix(prefix).ok_or(refused)?;
    let bytes = BASE32.decode(body.as_bytes()).map_err(|_bad_digit| refused)?;
    Uuid::from_slice(&bytes).map_err(|_bad_length| refused)
}

/// A UUIDv7 for something that comes to be at `at`: what every id of the product is minted by.
pub fn mint(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this type begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id for something created at `at`.
            pub fn mint(at: DateTime<Utc>) -> Self {
                Self(mint(at))
            }

            /// The id as the database keeps it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// Wraps a value read from the database.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, BASE32.encode_display(self.0.as_bytes()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A customer of the platform; owns one database schema.
    TenantId = "ten_";
    /// A person of a tenant.
    UserId = "usr_";
    /// A program's credential.
    ApiKeyId = "key_";
    /// A person who runs the platform.
    OperatorId = "opr_";
    /// A refresh-token family: one login of one person.
    SessionId = "ses_";
    /// A background job; also the id of the operation that a client watches.
    JobId = "job_";
    /// A business object of a tenant.
    ResourceId = "res_";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_survives_its_own_text(bytes: [u8; 16]) {
            let id = TenantId::from_uuid(Uuid::from_bytes(bytes));
            prop_assert_eq!(id.to_string().parse::<TenantId>(), Ok(id));
        }

        #[test]
        fn no_text_is_read_as_an_id_it_does_not_spell(text in "(ten_)?[0-9a-zA-Z]{24,28}") {
            if let Ok(id) = text.parse::<TenantId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn text_sorts_as_ids_do(a: [u8; 16], b: [u8; 16]) {
            let (a, b) = (JobId::from_uuid(Uuid::from_bytes(a)), JobId::from_uuid(Uuid::from_bytes(b)));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn an_id_of_another_type_is_refused() {
        let user = UserId::from_uuid(Uuid::nil()).to_string();
        assert_eq!(user.parse::<ResourceId>(), Err(IdError { expected: "res_" }));
    }
}
