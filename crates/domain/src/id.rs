//! Typed identifiers.
//!
//! Every id is a UUIDv7 (RFC 9562), so ids sort by creation time, and a process mints them without asking a server.
//! Outside the database they are written as a type prefix and 26 characters of lower-case Crockford base32,
//! `ten_01h455vb4pex5vsknk084sn02q`: a user id pasted where a resource id belongs is refused before any query. Each id
//! has exactly one spelling.

use std::{fmt, sync::LazyLock};

use chrono::{DateTime, Utc};
use data_encoding::{Encoding, Specification};
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
#[doc(hidden)]
pub fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let refused = IdError { expected: prefix };
    let body = text.strip_prefix(prefix).ok_or(refused)?;
    let bytes = BASE32.decode(body.as_bytes()).map_err(|_bad_digit| refused)?;
    Uuid::from_slice(&bytes).map_err(|_bad_length| refused)
}

/// Writes an id as its prefix and its base32.
#[doc(hidden)]
pub fn write(prefix: &'static str, uuid: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{prefix}{}", BASE32.encode_display(uuid.as_bytes()))
}

/// The prefix that `text` is. It panics, in a constant while it is compiled, unless `text` is two to five lower-case letters and
/// an underscore.
#[doc(hidden)]
pub const fn prefix(text: &'static str) -> &'static str {
    let mut rest = text.as_bytes();
    assert!(rest.len() >= 3 && rest.len() <= 6, "an id's prefix is two to five letters and an underscore");
    while let [first, after @ ..] = rest {
        let is_last = after.is_empty();
        let fits = if is_last { *first == b'_' } else { first.is_ascii_lowercase() };
        assert!(fits, "an id's prefix is lower-case letters and an underscore");
        rest = after;
    }
    text
}

/// The smallest id that [`mint`] can make at this moment.
pub fn first_of(at: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::from(millis(at)) << 80)
}

/// The largest id that [`mint`] can make at this moment.
pub fn last_of(at: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::from(millis(at)) << 80 | ((1 << 80) - 1))
}

/// The milliseconds that an id begins with, which has 48 bits for them.
fn millis(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1)
}

/// A UUIDv7 for something that comes to be at `at`: what every id of the product is minted by.
pub fn mint(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()))
}

/// Declares types of ids: the name of each, and the prefix that it is written with.
///
/// ```
/// bulkhead_domain::ids! {
///     /// A bill to a customer.
///     pub InvoiceId = "inv_";
/// }
/// let id = InvoiceId::mint(chrono::DateTime::UNIX_EPOCH);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// assert!(id.to_string().starts_with("inv_"));
/// ```
#[macro_export]
macro_rules! ids {
    ($($(#[$meta:meta])* $vis:vis $name:ident = $prefix:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name($crate::id::__private::Uuid);

        impl $name {
            /// What every id of this type begins with.
            pub const PREFIX: &'static str = $crate::id::prefix($prefix);

            /// A new id for something created at `at`.
            pub fn mint(at: $crate::id::__private::DateTime<$crate::id::__private::Utc>) -> Self {
                Self($crate::id::mint(at))
            }

            /// The id as the database keeps it.
            pub const fn uuid(self) -> $crate::id::__private::Uuid {
                self.0
            }

            /// Wraps a value read from the database.
            pub const fn from_uuid(uuid: $crate::id::__private::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                $crate::id::write($prefix, self.0, f)
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(self, f)
            }
        }

        impl ::core::convert::From<$crate::id::__private::Uuid> for $name {
            fn from(uuid: $crate::id::__private::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::IdError;

            fn from_str(text: &str) -> ::core::result::Result<Self, $crate::IdError> {
                $crate::id::parse($prefix, text).map(Self)
            }
        }

        impl $crate::id::__private::Serialize for $name {
            fn serialize<S: $crate::id::__private::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> $crate::id::__private::Deserialize<'de> for $name {
            fn deserialize<D: $crate::id::__private::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str> as $crate::id::__private::Deserialize>::deserialize(
                    deserializer,
                )?;
                text.parse().map_err(|_refused| {
                    $crate::id::__private::Error::custom(concat!("must be an id that begins with ", $prefix))
                })
            }
        }
    )*};
}

/// What the expansion of [`ids!`](crate::ids) names.
#[doc(hidden)]
pub mod __private {
    pub use chrono::{DateTime, Utc};
    pub use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    pub use uuid::Uuid;
}

ids! {
    /// A customer of the platform; owns one database schema.
    pub TenantId = "ten_";
    /// A person of a tenant.
    pub UserId = "usr_";
    /// A program's credential.
    pub ApiKeyId = "key_";
    /// A person who runs the platform.
    pub OperatorId = "opr_";
    /// A credential of an operator's program.
    pub OperatorKeyId = "opk_";
    /// A refresh-token family: one login of one person.
    pub SessionId = "ses_";
    /// An entry of an audit log.
    pub AuditEntryId = "aud_";
    /// A secret that works once: a link with which a person sets a new password.
    pub OneTimeTokenId = "ott_";
    /// An issuer of others whose word is taken.
    pub IdentityProviderId = "idp_";
    /// Who of an issuer's people is who of a tenant's.
    pub FederatedIdentityId = "fid_";
    /// A background job; also the id of the operation that a client watches.
    pub JobId = "job_";
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
        assert_eq!(user.parse::<JobId>(), Err(IdError { expected: "job_" }));
    }

    #[test]
    fn a_prefix_is_letters_and_an_underscore() {
        for good in ["ab_", "abcde_"] {
            assert_eq!(prefix(good), good);
        }
        for bad in ["", "_", "a_", "abcdef_", "ab", "aB_", "a1_", "a__", "ab_c"] {
            assert!(std::panic::catch_unwind(|| prefix(bad)).is_err(), "{bad}");
        }
    }
}
