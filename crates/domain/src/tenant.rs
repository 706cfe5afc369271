//! A tenant's names and the states of its life.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{BASE32, TenantId},
    text::TextError,
};

/// The name a tenant is known by outside: 3 to 40 characters, a lower-case letter, then letters, digits and hyphens,
/// ending in a letter or digit. It never becomes part of SQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Slug(String);

impl Slug {
    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug that a new tenant asks for. It cannot be one that looks like `t-` and the rest of a [`SchemaName`]:
    /// that is what the row of a purged tenant gets instead of its slug, and a purge could not end if another tenant
    /// had it.
    pub fn for_new_tenant(text: &str) -> Result<Self, TextError> {
        let slug: Self = text.parse()?;
        let is_base32 = |rest: &str| rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        match text.strip_prefix("t-") {
            Some(rest) if rest.len() == SchemaName::LENGTH - 2 && is_base32(rest) => Err(TextError::new(
                "must not be t- and 26 letters or digits: tenants that were removed are named so",
            )),
            _ => Ok(slug),
        }
    }
}

impl TryFrom<String> for Slug {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for Slug {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let bytes = text.as_bytes();
        let body_is_clean = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        let ends_well = bytes.first().is_some_and(u8::is_ascii_lowercase) && bytes.last() != Some(&b'-');
        if (3..=40).contains(&bytes.len()) && body_is_clean && ends_well {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError::new(
                "must be 3 to 40 characters: a lower-case letter, then lower-case letters, digits or hyphens, \
                 ending in a letter or digit",
            ))
        }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a tenant's schema, which is also the name of its role: `t_` and the base32 of the tenant's UUID.
///
/// Opaque, because every role can list the schema names in the catalog; made only from a [`TenantId`], so that no
/// input can ever become an identifier in SQL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SchemaName {
    text: [u8; Self::LENGTH],
}

impl SchemaName {
    const LENGTH: usize = 28;

    /// The schema (and role) of a tenant.
    pub fn of(tenant: TenantId) -> Self {
        let mut text = [0; Self::LENGTH];
        let (prefix, body) = text.split_at_mut(2);
        prefix.copy_from_slice(b"t_");
        BASE32.encode_mut(tenant.uuid().as_bytes(), body);
        Self { text }
    }

    /// The name as text, safe to stand unquoted in SQL.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a tenant is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Accepted; its schema is being built.
    Provisioning,
    /// In service.
    Active,
    /// Closed by an operator; its credentials are refused, its data is kept.
    Suspended,
    /// Deleted: its credentials are refused. Its data is kept until its purge.
    Deleted,
}

impl TenantStatus {
    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

impl TryFrom<String> for TenantStatus {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for TenantStatus {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        [Self::Provisioning, Self::Active, Self::Suspended, Self::Deleted]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(TextError::new("must be provisioning, active, suspended or deleted"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn slugs_with_quotes_or_sql_in_them_are_refused() {
        for bad in
            ["", "ab", "1abc", "Abc", "abc-", "a\"b", "a'; drop schema x; --", "ab_c", "ä-b-c", "a b c"]
        {
            assert!(bad.parse::<Slug>().is_err(), "{bad:?} was accepted");
        }
        assert!("a".repeat(41).parse::<Slug>().is_err());
        for good in ["abc", "acme-2", &"a".repeat(40)] {
            assert!(good.parse::<Slug>().is_ok(), "{good:?} was refused");
            assert!(Slug::for_new_tenant(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn nobody_can_ask_for_the_slug_of_a_purged_tenant() {
        for id in [0, 7, u128::MAX] {
            let stand_in =
                SchemaName::of(TenantId::from_uuid(Uuid::from_u128(id))).as_str().replace('_', "-");
            assert!(stand_in.parse::<Slug>().is_ok(), "those who have one can still be read");
            assert!(Slug::for_new_tenant(&stand_in).is_err(), "{stand_in} was accepted");
        }
        for good in [
            "t-shirts",
            "t-aaaaaaaaaaaaaaaaaaaaaaaaa",
            "t-aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "t-aaaaaaaaaaaa-aaaaaaaaaaaaa",
        ] {
            assert!(Slug::for_new_tenant(good).is_ok(), "{good:?} was refused");
        }
        assert!(Slug::for_new_tenant("T").is_err());
    }

    proptest! {
        #[test]
        fn a_schema_name_is_a_plain_identifier_and_no_two_tenants_share_one(a: [u8; 16], b: [u8; 16]) {
            let name = |bytes| SchemaName::of(TenantId::from_uuid(Uuid::from_bytes(bytes))).to_string();
            prop_assert!(name(a).strip_prefix("t_").is_some_and(|rest| rest.len() == 26
                && rest.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())));
            prop_assert_eq!(a == b, name(a) == name(b));
        }
    }
}
