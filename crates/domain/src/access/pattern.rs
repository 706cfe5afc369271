//! What a tenant's own role holds, as it is written: names of permissions, and wildcards for them.

use std::{fmt, str::FromStr};

use super::declaration::{MAX, is_word};
use crate::text::TextError;

/// An entry of a tenant's own role: `action:resource`, where `*` may stand for every action or for every resource, those that
/// come later included.
///
/// An entry that was stored may be one that no program can read any more ([`PermissionPattern::stored`]): it covers itself and
/// holds nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionPattern(String);

impl PermissionPattern {
    /// An entry as a row has it, whatever it is.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The entry as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for more than the permission of its name.
    pub fn is_wildcard(&self) -> bool {
        let (action, resource) = self.parts();
        action == ANY || resource == ANY
    }

    /// Whether it stands for all that `other` stands for, now and later. A name is covered by itself.
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_text(&other.0)
    }

    /// Whether it stands for the permission of this name.
    pub(super) fn covers_text(&self, other: &str) -> bool {
        let ((action, resource), (others_action, others_resource)) = (self.parts(), parts(other));
        (action == ANY || action == others_action) && (resource == ANY || resource == others_resource)
    }

    /// The action and the resource, either of which may be `*`.
    pub(super) fn parts(&self) -> (&str, &str) {
        parts(&self.0)
    }
}

const ANY: &str = "*";

/// An entry without a colon has no resource.
fn parts(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((text, ""))
}

impl FromStr for PermissionPattern {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let is_part = |part: &str| part == ANY || is_word(part.as_bytes());
        let is_one = text.len() <= MAX
            && text.split_once(':').is_some_and(|(action, resource)| is_part(action) && is_part(resource));
        if is_one {
            return Ok(Self(text.to_owned()));
        }
        Err(TextError::new(
            "must be action:resource like read:users, in lower-case letters, digits and underscores, at most 64 bytes; * may \
             stand for all of either, as in read:*, *:users and *:*",
        ))
    }
}

impl fmt::Display for PermissionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
