//! The text of secrets that name a row: `bh_<mark>_<locator>_<secret and tag>`.
//!
//! The locator says where the row is: `t`, the tenant's id and the row's for something of a tenant, `o` and the row's id for
//! something of the platform; so a server goes straight to one row of one schema. The secret has 256 bits, and the tag is an HMAC
//! of locator and secret, cut to 128 bits; both are written together in base64url. A text that is read here was issued by us, for
//! that row: a made-up text is told from an issued one without a look-up. Refuses to say whether it is still good: that is in the
//! row, beside an HMAC of the whole text.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_domain::TenantId;

use crate::keyring::{Keyring, Purpose};

/// How many characters an id has without its type prefix.
const ID_LENGTH: usize = 26;

/// How many bytes a secret has. With the tag they are a multiple of three, so that each character of their base64 counts.
pub(crate) const SECRET_LENGTH: usize = 32;
pub(crate) const TAG_LENGTH: usize = 16;

/// Where the row of a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOwner {
    /// In this tenant's schema: it is of one of its people.
    Tenant(TenantId),
    /// On the platform: it is an operator's.
    Operator,
}

/// One kind of secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// The word that tells it from other kinds, and from API keys.
    pub(crate) mark: &'static str,
    /// What its tag is made for.
    pub(crate) tag: Purpose,
    /// The prefix of the ids of its rows.
    pub(crate) prefix: &'static str,
}

impl Form {
    /// The text with this secret. `id` is the row's, with its prefix.
    pub(crate) fn write(
        self,
        keyring: &Keyring,
        owner: SessionOwner,
        id: &str,
        secret: &[u8; SECRET_LENGTH],
    ) -> String {
        let digits = id.trim_start_matches(self.prefix);
        let locator = match owner {
            SessionOwner::Tenant(tenant) => {
                let tenant = tenant.to_string();
                format!("t{}{digits}", tenant.trim_start_matches(TenantId::PREFIX))
            }
            SessionOwner::Operator => format!("o{digits}"),
        };
        let tag = keyring.mac_of_parts(self.tag, &[locator.as_bytes(), secret]);
        let secret_and_tag: Vec<u8> = secret.iter().chain(tag.iter().take(TAG_LENGTH)).copied().collect();
        format!("bh_{}_{locator}_{}", self.mark, URL_SAFE_NO_PAD.encode(secret_and_tag))
    }

    /// Where the row is and the text of its id, for a text that we have issued; in constant time where secret and tag are
    /// concerned.
    pub(crate) fn read(self, keyring: &Keyring, text: &str) -> Option<(SessionOwner, String)> {
        let (locator, tail) =
            text.strip_prefix("bh_")?.strip_prefix(self.mark)?.strip_prefix('_')?.split_once('_')?;
        let (owner, id) = self.read_locator(locator)?;
        let bytes = URL_SAFE_NO_PAD.decode(tail).ok()?;
        let (secret, _tag) = bytes.split_first_chunk::<SECRET_LENGTH>()?;
        let genuine = self.write(keyring, owner, &id, secret);
        verify_slices_are_equal(genuine.as_bytes(), text.as_bytes()).ok()?;
        Some((owner, id))
    }

    fn read_locator(self, locator: &str) -> Option<(SessionOwner, String)> {
        let id = |digits: &str| format!("{}{digits}", self.prefix);
        if let Some(ids) = locator.strip_prefix('t') {
            let (tenant, row) = ids.split_at_checked(ID_LENGTH)?;
            let tenant = format!("{}{tenant}", TenantId::PREFIX).parse().ok()?;
            return Some((SessionOwner::Tenant(tenant), id(row)));
        }
        Some((SessionOwner::Operator, id(locator.strip_prefix('o')?)))
    }
}
