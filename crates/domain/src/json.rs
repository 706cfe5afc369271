//! JSON that a tenant sends and gets back: kept as it was sent, or refused.
//!
//! Owns the check of such a text. It is never made into a tree: `{"":0},` takes 7 bytes as text and some 660 as a tree of
//! maps, so a body within every limit would take a hundred times its size in memory. The check reads the text once and
//! remembers nothing but where the names of the objects that are open stand in it, 8 bytes for each; when an object ends they
//! are sorted, and one that appears twice stands beside itself. Rejected: a set of the names, which knew one sooner and took 12
//! times the text where names are short, many and escaped. Refuses what readers disagree about
//! (RFC 8259): members that appear twice, halves of surrogate pairs; and what PostgreSQL's `jsonb` cannot hold, so that a query
//! may always look into content with it (`data::jsonb`): U+0000, and numbers that are too long when written out (`1e999999` is
//! eight characters). Numbers are kept as text, those too that a reader's floats would round.

use std::{cmp::Ordering, fmt, str::Chars};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// How deep objects and lists may lie inside each other.
const MAX_DEPTH: usize = 128;

/// How many digits a number may have when it is written out.
const MAX_DIGITS: u64 = 1_000;

/// How much of the way to a fault is told.
const MAX_POINTER: usize = 200;

/// A field of any JSON: as it was sent, then checked, once. The check of a large one takes milliseconds, so it is done where the
/// body is read.
#[derive(Clone, Debug)]
pub enum JsonContent {
    /// Not looked into.
    Sent(Box<RawValue>),
    /// The object, or why it cannot be kept.
    Checked(Result<JsonObject, JsonFault>),
}

impl JsonContent {
    /// Checks it, unless that has been done: an object of at most `max_bytes`.
    pub fn check(&mut self, max_bytes: usize) {
        *self = Self::Checked(std::mem::take(self).within(max_bytes));
    }

    /// Why it was refused, once it is checked.
    pub const fn fault(&self) -> Option<&JsonFault> {
        match self {
            Self::Checked(Err(fault)) => Some(fault),
            Self::Checked(Ok(_)) | Self::Sent(_) => None,
        }
    }

    /// The object, checked with this bound unless that has been done.
    pub fn within(self, max_bytes: usize) -> Result<JsonObject, JsonFault> {
        match self {
            Self::Sent(text) => JsonObject::new(text, max_bytes),
            Self::Checked(checked) => checked,
        }
    }
}

/// `{}`.
impl Default for JsonContent {
    fn default() -> Self {
        Self::Checked(Ok(JsonObject::empty()))
    }
}

impl<'de> Deserialize<'de> for JsonContent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(from).map(Self::Sent)
    }
}

/// A JSON object that is kept as it was sent.
#[derive(Clone, Debug)]
pub struct JsonObject(Box<RawValue>);

impl JsonObject {
    /// Takes a text of at most `max_bytes` if it is an object that can be kept.
    pub fn new(text: Box<RawValue>, max_bytes: usize) -> Result<Self, JsonFault> {
        let written = text.get();
        if !written.starts_with('{') {
            return Err(JsonFault::at_root(Reason::NoObject));
        }
        // Before anything is read: the check takes time and memory with the length of the text, in which it has 32 bits for a
        // place.
        if written.len() > max_bytes.min(u32::MAX as usize) {
            return Err(JsonFault::at_root(Reason::TooLarge { max_bytes }));
        }
        Check::new(written).run()?;
        Ok(Self(text))
    }

    /// `{}`.
    pub fn empty() -> Self {
        // An object without members is JSON; the null is never taken.
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_else(|_not_json| RawValue::NULL.to_owned()))
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

/// Why a JSON text cannot be kept, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonFault {
    /// The JSON Pointer (RFC 6901) of the value or member, from the text's root; cut when it is long.
    pub pointer: String,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    NoObject,
    TooLarge { max_bytes: usize },
    TooDeep,
    Twice,
    Nul,
    HalfPair,
    LongNumber,
}

impl JsonFault {
    fn at_root(reason: Reason) -> Self {
        Self { pointer: String::new(), reason }
    }
}

/// A phrase that follows the field's name.
impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::NoObject => f.write_str("must be an object"),
            Reason::TooLarge { max_bytes } => write!(f, "must be at most {max_bytes} bytes of JSON"),
            Reason::TooDeep => write!(f, "must be nested at most {MAX_DEPTH} levels deep"),
            Reason::Twice => f.write_str("must not appear twice in its object"),
            Reason::Nul => f.write_str("must not contain the character U+0000"),
            Reason::HalfPair => f.write_str("must not contain half of a surrogate pair"),
            Reason::LongNumber => write!(f, "must have at most {MAX_DIGITS} digits when written out"),
        }
    }
}

impl std::error::Error for JsonFault {}

/// An object or a list that has been opened.
struct Open {
    /// Where its members' names begin among all names; `None` for a list.
    names_from: Option<usize>,
    /// The place of the item that is being read, in a list.
    index: usize,
}

/// Where a member's name stands in the text, without its quotation marks and with its escapes.
#[derive(Clone, Copy)]
struct Name {
    from: u32,
    length: u32,
}

impl Name {
    fn new(from: usize, length: usize) -> Self {
        let bits = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self { from: bits(from), length: bits(length) }
    }

    fn of(self, text: &str) -> &str {
        text.get(self.from as usize..).and_then(|rest| rest.get(..self.length as usize)).unwrap_or_default()
    }

    /// In which order two names stand, read without their escapes.
    fn compare(self, other: Self, text: &str) -> Ordering {
        let (one, two) = (self.of(text), other.of(text));
        if one.contains('\\') || two.contains('\\') {
            Unescaped(one.chars()).cmp(Unescaped(two.chars()))
        } else {
            one.cmp(two)
        }
    }
}

/// One reading of a text that is known to be JSON.
struct Check<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Open>,
    /// Names of the members of all open objects, those of the innermost last.
    names: Vec<Name>,
    /// Whether the next string is a member's name.
    expects_name: bool,
}

impl<'a> Check<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, open: Vec::new(), names: Vec::new(), expects_name: false }
    }

    fn run(mut self) -> Result<(), JsonFault> {
        while let Some(byte) = self.text.as_bytes().get(self.at).copied() {
            match byte {
                b'{' | b'[' => self.enter(byte == b'{')?,
                b'}' | b']' => self.leave()?,
                b',' => self.separate(),
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                // A colon, white space, or a letter of true, false or null.
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn enter(&mut self, is_object: bool) -> Result<(), JsonFault> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.fault(Reason::TooDeep));
        }
        let names_from = is_object.then_some(self.names.len());
        self.open.push(Open { names_from, index: 0 });
        self.expects_name = is_object;
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), JsonFault> {
        if let Some(Open { names_from: Some(from), .. }) = self.open.last() {
            let (from, text) = (*from, self.text);
            let own = self.names.get_mut(from..).unwrap_or_default();
            own.sort_unstable_by(|one, two| one.compare(*two, text));
            let twice =
                own.array_windows().find(|[one, two]| one.compare(*two, text).is_eq()).map(|[one, _]| *one);
            self.names.truncate(from);
            if let Some(twice) = twice {
                self.names.push(twice);
                return Err(self.fault(Reason::Twice));
            }
        }
        self.open.pop();
        self.expects_name = false;
        self.at += 1;
        Ok(())
    }

    fn separate(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.index += 1;
            self.expects_name = open.names_from.is_some();
        }
        self.at += 1;
    }

    fn string(&mut self) -> Result<(), JsonFault> {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let mut end = 0;
        let mut has_escapes = false;
        loop {
            match rest.as_bytes().get(end) {
                Some(b'\\') => {
                    has_escapes = true;
                    end += 2;
                }
                Some(b'"') | None => break,
                Some(_) => end += 1,
            }
        }
        let inside = rest.get(..end).unwrap_or_default();
        let is_name = std::mem::take(&mut self.expects_name);
        if has_escapes && let Err(reason) = judge_escapes(inside) {
            return Err(self.fault(reason));
        }
        if is_name {
            self.names.push(Name::new(self.at + 1, end));
        }
        self.at += end + 2;
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonFault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        let number = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if has_few_digits(number) {
            self.at += number.len();
            Ok(())
        } else {
            Err(self.fault(Reason::LongNumber))
        }
    }

    /// A fault at the member or item that is being read.
    fn fault(&self, reason: Reason) -> JsonFault {
        let mut steps = Vec::new();
        // The names of an object end where those of the object inside it begin.
        let mut end = self.names.len();
        for open in self.open.iter().rev() {
            match open.names_from {
                Some(from) => {
                    let name = self.names.get(from..end).and_then(<[_]>::last);
                    let name = name.map(|name| Unescaped(name.of(self.text).chars()).collect::<String>());
                    steps.extend(name.map(|name| name.replace('~', "~0").replace('/', "~1")));
                    end = from;
                }
                None => steps.push(open.index.to_string()),
            }
        }
        let pointer = steps.iter().rev().fold(String::new(), |pointer, step| pointer + "/" + step);
        JsonFault { pointer: pointer.chars().filter(|c| !c.is_control()).take(MAX_POINTER).collect(), reason }
    }
}

/// Refuses escapes that stand for no character, or for one that PostgreSQL cannot hold.
fn judge_escapes(inside: &str) -> Result<(), Reason> {
    let mut rest = inside;
    // Whether the escape right before was the first half of a pair.
    let mut opened = false;
    while let Some(at) = rest.find('\\') {
        let escape = rest.get(at..).unwrap_or_default();
        let unit = escape.get(2..6).filter(|_| escape.as_bytes().get(1) == Some(&b'u'));
        let unit = unit.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let is_second_half = matches!(unit, Some(0xDC00..=0xDFFF));
        if (opened && at > 0) || opened != is_second_half {
            return Err(Reason::HalfPair);
        }
        if unit == Some(0) {
            return Err(Reason::Nul);
        }
        opened = matches!(unit, Some(0xD800..=0xDBFF));
        rest = escape.get(if unit.is_some() { 6 } else { 2 }..).unwrap_or_default();
    }
    if opened { Err(Reason::HalfPair) } else { Ok(()) }
}

/// The characters of a string without its escapes, which have been judged before.
struct Unescaped<'a>(Chars<'a>);

impl Unescaped<'_> {
    /// A half of a pair, or a character that needs none.
    fn unit(&mut self) -> u32 {
        self.0.by_ref().take(4).fold(0, |unit, digit| unit << 4 | digit.to_digit(16).unwrap_or_default())
    }
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let plain = self.0.next()?;
        if plain != '\\' {
            return Some(plain);
        }
        Some(match self.0.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit();
                let code = if (0xD800..0xDC00).contains(&first) {
                    let _backslash_and_u = self.0.nth(1);
                    0x1_0000 + ((first - 0xD800) << 10) + (self.unit() & 0x3FF)
                } else {
                    first
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            // A quotation mark, a backslash or a slash.
            other => other,
        })
    }
}

/// Whether a number is short when it is written out, without an exponent.
fn has_few_digits(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let (whole, fraction) = (whole.trim_start_matches('-').len() as u64, fraction.len() as u64);
    let shift = exponent.unsigned_abs();
    let (whole, fraction) = if exponent >= 0 {
        (whole.saturating_add(shift), fraction.saturating_sub(shift))
    } else {
        (whole.saturating_sub(shift).max(1), fraction.saturating_add(shift))
    };
    whole.saturating_add(fraction) <= MAX_DIGITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn refused(text: &str) -> (String, String) {
        let fault = JsonObject::new(raw(text), 1 << 20).unwrap_err();
        (fault.pointer.clone(), fault.to_string())
    }

    #[test]
    fn what_can_be_kept_is_kept_to_the_letter() {
        for text in [
            "{}",
            r#"{"a": 18446744073709551616, "b": 0.12345678901234567890123, "c": 1e-7, "d": 1E+21, "e": -0, "f": -0.0e5}"#,
            r#"{"a": [{"a": 1}, {"a": 2, "b": {"a": 3}}], "b": {"a": 4}}"#,
            r#"{"": null, "\ud83d\ude00": "\ud83d\ude00\ud83d\ude00", "\\u0000": "\\ud800", "ä": "\"\u00e4\\"}"#,
        ] {
            assert_eq!(JsonObject::new(raw(text), 1 << 20).unwrap().get(), text);
        }
        assert_eq!(JsonObject::empty().get(), "{}");
    }

    #[test]
    fn what_readers_disagree_about_is_refused_and_found() {
        for (text, pointer, words) in [
            (r#"{"amount":1,"amount":2}"#, "/amount", "twice"),
            (r#"{"a":{"b":[0,{"c":1,"d":{},"c":2}]}}"#, "/a/b/1/c", "twice"),
            (r#"{"a":1,"\u0061":2}"#, "/a", "twice"),
            (r#"{"a/b":{"~":[1e1000]}}"#, "/a~1b/~0/0", "digits"),
            (r#"{"a":[1,-0.0e-1000]}"#, "/a/1", "digits"),
            (r#"{"a":1e1000}"#, "/a", "digits"),
            (r#"{"a":1e-1000}"#, "/a", "digits"),
            (r#"{"a":1e99999999999999999999}"#, "/a", "digits"),
            (r#"{"a":"x\u0000"}"#, "/a", "U+0000"),
            (r#"{"a":1,"b":{"\u0000":1}}"#, "/b", "U+0000"),
            (r#"{"a":"\ud800"}"#, "/a", "surrogate"),
            (r#"{"a":"\ud800x\udc00"}"#, "/a", "surrogate"),
            (r#"{"a":"\udc00"}"#, "/a", "surrogate"),
            (r#"{"a":"\ud800\ud800\udc00"}"#, "/a", "surrogate"),
            (r#"{"a":"\ud800\n"}"#, "/a", "surrogate"),
        ] {
            let (at, said) = refused(text);
            assert_eq!(at, pointer, "{text}: {said}");
            assert!(said.contains(words), "{text}: {said}");
        }
        for text in ["[]", "null", "1", "\"{}\""] {
            assert_eq!(refused(text), (String::new(), "must be an object".to_owned()));
        }
    }

    #[test]
    fn depth_is_bounded_and_so_is_what_is_told_of_it() {
        let nested = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(JsonObject::new(raw(&nested(MAX_DEPTH)), 1 << 20).is_ok());
        let fault = JsonObject::new(raw(&nested(MAX_DEPTH + 1)), 1 << 20).unwrap_err();
        assert_eq!((fault.reason, fault.pointer.len()), (Reason::TooDeep, MAX_POINTER));
    }

    #[test]
    fn the_bound_counts_what_was_sent() {
        for text in ["{}", r#"{"a":1e99}"#, r#"{ "a" : true }"#] {
            assert!(JsonObject::new(raw(text), text.len()).is_ok(), "{text}");
            let max_bytes = text.len() - 1;
            let fault = JsonObject::new(raw(text), max_bytes).unwrap_err();
            assert_eq!(fault.reason, Reason::TooLarge { max_bytes }, "{text}");
        }
        let mut content: JsonContent = serde_json::from_str(r#"{"a":1,"a":2}"#).unwrap();
        content.check(10);
        let fault = content.within(100).unwrap_err();
        assert_eq!(fault.reason, Reason::TooLarge { max_bytes: 10 }, "checked once, and before it is read");
    }

    #[test]
    fn many_members_are_told_apart() {
        let member = |number: usize| format!("\"m{number}\":{{\"a\":0}}");
        let members: Vec<String> = (0..1_000).map(member).collect();
        assert!(JsonObject::new(raw(&format!("{{{}}}", members.join(","))), 1 << 20).is_ok());
        for twice in [0, 1, 500, 999] {
            let text = format!("{{{},{}}}", members.join(","), member(twice));
            assert_eq!(refused(&text).0, format!("/m{twice}"));
        }
    }

    /// JSON of every shape; numbers are small, so that nothing of it is refused but for its members.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[^\u{0}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\é]{0,2}", inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_serde_reads_it(name in any::<String>(), escaped in any::<bool>()) {
            let written = if escaped {
                name.encode_utf16().fold(String::new(), |written, unit| written + &format!("\\u{unit:04x}"))
            } else {
                let quoted = json!(name).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            };
            prop_assert_eq!(Unescaped(written.chars()).collect::<String>(), name);
        }

        #[test]
        fn sound_objects_are_taken_and_a_repeated_member_anywhere_is_not(value in any_json()) {
            let text = json!({ "data": value }).to_string();
            prop_assert!(JsonObject::new(raw(&text), 1 << 20).is_ok(), "{text}");
            let pretty = serde_json::to_string_pretty(&json!({ "data": value })).unwrap();
            prop_assert!(JsonObject::new(raw(&pretty), 1 << 20).is_ok(), "{pretty}");
            let twice = format!("{{\"a\":{value},\"b\":{value},\"a\":0}}");
            prop_assert_eq!(JsonObject::new(raw(&twice), 1 << 20).unwrap_err().reason, Reason::Twice);
        }

        #[test]
        fn nothing_that_is_json_makes_it_panic(text in "[{\\[\\]}:,\"\\\\u0dD8e+.a-]{0,40}") {
            if let Ok(raw) = RawValue::from_string(format!("{{\"a\":{text}}}")) {
                let _ = JsonObject::new(raw, 1 << 20);
            }
        }
    }
}
