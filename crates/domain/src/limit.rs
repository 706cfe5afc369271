//! Plans and the request limits that come with them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::TextError;

/// What a tenant has bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// 100 requests a minute.
    Free,
    /// 1,000 requests a minute.
    Pro,
    /// 10,000 requests a minute.
    Enterprise,
}

impl Plan {
    /// Every plan.
    pub const ALL: [Self; 3] = [Self::Free, Self::Pro, Self::Enterprise];

    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// The limit that a tenant of this plan starts with; `platform.plans` carries the same numbers and may be changed.
    pub const fn default_limit(self) -> Limit {
        match self {
            Self::Free => Limit { per_minute: 100, burst: 100 },
            Self::Pro => Limit { per_minute: 1_000, burst: 1_000 },
            Self::Enterprise => Limit { per_minute: 10_000, burst: 10_000 },
        }
    }
}

impl TryFrom<String> for Plan {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for Plan {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL
            .into_iter()
            .find(|plan| plan.as_str() == text)
            .ok_or(TextError::new("must be free, pro or enterprise"))
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
    /// The part of this limit that one of `nodes` equal nodes may grant alone. Rounded up, so that a small limit
    /// spread over many nodes still lets somebody through: the sum exceeds the limit by less than one per node.
    #[must_use]
    pub fn share(self, nodes: u32) -> Self {
        let nodes = nodes.max(1);
        Self { per_minute: self.per_minute.div_ceil(nodes), burst: self.burst.div_ceil(nodes) }
    }
}
