//! What is wrong with which field of a body or parameter of a query, said so that a person can mend it.
//!
//! serde tells where it was and what it had expected, in words for programmers. Here they become a phrase that follows the
//! field's name: "must be a string, not null". Phrases that our own types give ("must be …") stand as they are.

use serde_path_to_error::{Path, Segment};

/// How much of what the caller has sent is repeated.
const SHOWN: usize = 200;

/// How `serde_json` refuses a number that is larger than a double holds, whatever it had expected in its place.
pub(crate) const OUT_OF_RANGE: &str = "number out of range";

/// How `serde_json` refuses what is no text in the place of a choice, and what is no JSON.
pub(crate) const NO_CHOICE: &str = "expected value";

/// A complaint about one field, or about the whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The names of the fields that lead to it, from the outermost; none for the whole.
    pub(crate) path: Vec<String>,
    /// What is wrong, a phrase that follows the name.
    pub(crate) detail: String,
}

impl Complaint {
    /// Reads what serde has said at `path`.
    pub(crate) fn of(path: &Path, message: &str) -> Self {
        let mut path: Vec<String> = path.iter().filter_map(name).collect();
        // serde_json adds where in the text it was.
        let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
        let detail = if let Some(field) = quoted(message, "missing field `") {
            path.push(field.to_owned());
            "must be given".to_owned()
        } else if let Some(field) = quoted(message, "duplicate field `") {
            path.push(field.to_owned());
            "must be given once".to_owned()
        } else if message.starts_with("unknown field `") {
            match message.rsplit_once(", expected ") {
                Some((_, known)) => format!("is unknown: expected {known}"),
                None => "is unknown: there are none".to_owned(),
            }
        } else {
            phrase(message)
        };
        Self { path, detail: clean(&detail) }
    }

    /// Where it is: a JSON Pointer (RFC 6901).
    pub(crate) fn pointer(&self) -> String {
        let escaped = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        clean(&self.path.iter().map(escaped).collect::<String>())
    }

    /// Where it is, as the name of a query parameter.
    pub(crate) fn parameter(&self) -> String {
        match self.path.first() {
            Some(name) if !name.is_empty() => clean(name),
            Some(_) => "A parameter without a name".to_owned(),
            None => "The query string".to_owned(),
        }
    }
}

fn name(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The name in back-ticks that follows `before`.
fn quoted<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.strip_prefix(before)?.split('`').next()
}

fn phrase(message: &str) -> String {
    // From the right: on the left stands what the caller has sent.
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    match expected {
        _ if message.starts_with("must ") => message.to_owned(),
        Some(expected) if message.starts_with("invalid type: null") => {
            format!("must be {}, not null", kind(expected))
        }
        Some(expected) if message.starts_with("invalid ") || message.starts_with("unknown variant") => {
            format!("must be {}", kind(expected))
        }
        _ if message.starts_with(OUT_OF_RANGE) => "must not be a number out of range".to_owned(),
        _ if message.starts_with(NO_CHOICE) => "must be one of its choices, a string".to_owned(),
        // How the standard library refuses a number in a query.
        _ if message.starts_with("number too ") => "is too large or too small".to_owned(),
        _ if message.contains("digit found in string") || message.contains("integer from empty string") => {
            "must be a whole number".to_owned()
        }
        _ => format!("does not fit: {message}"),
    }
}

/// Names what serde had expected by its type in JSON: the client knows those types, and none of Rust's.
fn kind(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" | "usize" => "a whole number",
        "f32" | "f64" => "a number",
        other if other.starts_with("struct ") || other == "a map" => "an object",
        other => other,
    }
}

/// Short, and without control characters: some of it is the caller's own words.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}
