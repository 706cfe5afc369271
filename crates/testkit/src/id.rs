//! Ids, as a document describes them and as they are written: a prefix of letters, and 26 digits.
//!
//! Owns telling by an id's prefix what it is the id of. Knows no prefix by itself.

use serde_json::Value;

/// What the pattern of an id ends with; the prefix stands between a circumflex and this.
const DIGITS: &str = "[0-9a-hjkmnp-tv-z]{26}$";

/// The prefix of the ids that a schema describes: by its pattern, or else by its example.
pub(crate) fn prefix_of(schema: &Value) -> Option<&str> {
    described(schema).or_else(|| schema["example"].as_str().and_then(prefix))
}

/// The prefix of the ids that a schema's pattern describes.
pub(crate) fn described(schema: &Value) -> Option<&str> {
    let prefix = schema["pattern"].as_str()?.strip_prefix('^')?.strip_suffix(DIGITS)?;
    is_prefix(prefix).then_some(prefix)
}

/// The prefix of a text that is an id.
pub(crate) fn prefix(text: &str) -> Option<&str> {
    let (prefix, digits) = text.split_at_checked(text.find('_')? + 1)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'h' | b'j' | b'k' | b'm' | b'n' | b'p'..=b't' | b'v'..=b'z');
    (is_prefix(prefix) && digits.len() == 26 && digits.bytes().all(is_digit)).then_some(prefix)
}

/// An id with this prefix, of nothing.
pub(crate) fn of_nothing(prefix: &str) -> String {
    format!("{prefix}01jd3e2x6m7k9v4q8t5b2n0c1c")
}

fn is_prefix(text: &str) -> bool {
    let letters = text.strip_suffix('_').unwrap_or_default();
    !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prefix_is_told_by_the_pattern_or_by_the_example() {
        let pattern = "^inv_[0-9a-hjkmnp-tv-z]{26}$";
        for (schema, wanted) in [
            (json!({ "type": "string", "pattern": pattern }), Some("inv_")),
            (json!({ "type": "string", "pattern": pattern, "example": of_nothing("cus_") }), Some("inv_")),
            (json!({ "type": "string", "example": of_nothing("cus_") }), Some("cus_")),
            (json!({ "type": "string", "pattern": "^[a-z]+$", "example": "A-7" }), None),
            (json!({ "type": "string", "pattern": "^[a-z]+[0-9a-hjkmnp-tv-z]{26}$" }), None),
            (json!({ "type": "string", "example": "cus_1" }), None),
            (json!({ "type": "string", "example": format!("{}0", of_nothing("cus_")) }), None),
            (json!({ "type": "string", "example": of_nothing("cus_").replace('c', "u") }), None),
            (json!({}), None),
        ] {
            assert_eq!(prefix_of(&schema), wanted, "{schema}");
        }
    }
}
