//! Plans and the request limits that come with them.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

/// The name of a plan: what a tenant has bought.
///
/// Plans are rows of `platform.plans`, with their limits. The program knows a plan only by its name, so a plan that
/// was added by hand, or by a newer version, is shown and served like the others. A name that a person sends is looked
/// up there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlanName(Cow<'static, str>);

impl PlanName {
    /// The least of the plans that every platform begins with.
    pub const FREE: Self = Self(Cow::Borrowed("free"));
    /// The middle one.
    pub const PRO: Self = Self(Cow::Borrowed("pro"));
    /// The largest.
    pub const ENTERPRISE: Self = Self(Cow::Borrowed("enterprise"));

    /// The word that the database and the API use.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name as a row has it.
impl From<String> for PlanName {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PlanName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A token bucket's shape: it holds `burst` tokens and gains `per_minute` of them each minute; a request takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Tokens gained per minute, at least 1.
    pub per_minute: u32,
    /// Tokens held when full, at least 1.
    pub burst: u32,
}

impl Limit {
    /// The part of this limit that one of `nodes` equal nodes may grant alone. Rounded up, so that each node still
    /// grants requests when a small limit is spread over many nodes: the sum exceeds the limit by less than one per
    /// node.
    #[must_use]
    pub fn share(self, nodes: u32) -> Self {
        let nodes = nodes.max(1);
        Self { per_minute: self.per_minute.div_ceil(nodes), burst: self.burst.div_ceil(nodes) }
    }
}
