//! How the fields of bodies and queries are read: absent is not null, times have one form, and a client that sends
//! something else is told which field it was and what it must look like.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny},
};
use serde_json::error::Category;
use serde_path_to_error::Track;
use url::form_urlencoded;

use super::{
    body::object,
    complaint::{Complaint, NO_CHOICE, OUT_OF_RANGE},
};
use crate::http::error::{ApiError, FieldError};

/// Reads a body: one object.
pub(crate) fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut track = Track::new();
    let value = object(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let refuse = |error: &serde_json::Error, track: Track| {
        let message = error.to_string();
        let is_json = match error.classify() {
            Category::Data => true,
            // What JSON allows and serde_json counts among what is no JSON: a number that none of ours holds, and anything but a
            // text in the place of a choice.
            Category::Syntax => {
                message.starts_with(OUT_OF_RANGE) || message.starts_with(NO_CHOICE) && is_whole_json(bytes)
            }
            Category::Eof | Category::Io => false,
        };
        if !is_json {
            let shown = message.chars().filter(|c| !c.is_control()).take(300).collect();
            return ApiError::MalformedJson(shown);
        }
        let complaint = Complaint::of(&track.path(), &message);
        if complaint.path.is_empty() {
            ApiError::InvalidBody(format!("it {}", complaint.detail))
        } else {
            ApiError::UnfitField(FieldError::new(&complaint.pointer(), &complaint.detail))
        }
    };
    let value = value.map_err(|error| refuse(&error, track))?;
    json.end().map_err(|error| refuse(&error, Track::new()))?;
    Ok(value)
}

/// Whether it is JSON, whatever stands in it.
fn is_whole_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Reads a query string.
pub(crate) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let refuse = |complaint: &Complaint| ApiError::InvalidQuery {
        parameter: complaint.parameter(),
        detail: complaint.detail.clone(),
    };
    // What is no UTF-8 has become this character on the way, and would be looked for.
    let is_broken = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    if let Some((name, _)) =
        form_urlencoded::parse(query.as_bytes()).find(|(name, value)| is_broken(name) || is_broken(value))
    {
        let path = vec![name.into_owned()];
        return Err(refuse(&Complaint { path, detail: "must be UTF-8 once its % are decoded".to_owned() }));
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs)
        .map_err(|error| refuse(&Complaint::of(error.path(), &error.inner().to_string())))
}

/// Refuses a query string where none may be.
pub(crate) fn no_parameters(query: &str) -> ApiError {
    let first = form_urlencoded::parse(query.as_bytes()).next().map(|(name, _)| name.into_owned());
    let detail = "is unknown: this operation takes no parameters".to_owned();
    let complaint = Complaint { path: first.into_iter().collect(), detail };
    ApiError::InvalidQuery { parameter: complaint.parameter(), detail: complaint.detail }
}

/// A field that may be left out, but not null: with `#[serde(default, deserialize_with = "present")]`, and without `null` in
/// the document (`#[schema(nullable = false)]`). Null says "there is none", and what cannot be none must not be taken for
/// "leave it as it is".
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A text of `LEAST` to `MOST` characters that may be left out, without control characters and blanks around it: for the field
/// of a query.
pub fn optional_text<'de, D: Deserializer<'de>, const LEAST: usize, const MOST: usize>(
    from: D,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    bulkhead_domain::text::check(&text, LEAST, MOST).map_err(D::Error::custom)?;
    Ok(Some(text))
}

/// A time, as `#[body]` reads it.
#[doc(hidden)]
pub fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    time(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// A time that may be left out, but not null.
#[doc(hidden)]
pub fn present_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    read_time(from).map(Some)
}

/// A date, as `#[body]` reads it.
#[doc(hidden)]
pub fn read_date<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveDate, D::Error> {
    date(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// A date that may be left out, but not null.
#[doc(hidden)]
pub fn present_date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NaiveDate>, D::Error> {
    read_date(from).map(Some)
}

/// A date that may be left out or be null.
#[doc(hidden)]
pub fn optional_date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NaiveDate>, D::Error> {
    Option::<String>::deserialize(from)?.map(|text| date(&text).map_err(D::Error::custom)).transpose()
}

/// The years that RFC 3339 can write.
const YEARS: RangeInclusive<i32> = 0..=9999;

/// Reads a date as RFC 3339 writes it, in its one spelling.
fn date(text: &str) -> Result<NaiveDate, &'static str> {
    let read = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let read = read.filter(|date| YEARS.contains(&date.year()) && date.to_string() == text);
    read.ok_or("must be a date like 2026-12-31, of the years 0000 to 9999")
}

/// A time that may be left out or be null, in a body or a query.
pub fn optional_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Option::<String>::deserialize(from)?.map(|text| time(&text).map_err(D::Error::custom)).transpose()
}

/// Reads a time as RFC 3339 writes it, to the microsecond: that much is kept.
fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let Ok(read) = DateTime::parse_from_rfc3339(text) else {
        // In a query string, + is a blank.
        let is_plus_lost = DateTime::parse_from_rfc3339(&text.replace(' ', "+")).is_ok();
        return Err(if is_plus_lost {
            "must be a time like 2026-11-27T09:30:00Z or 2026-11-27T10:30:00%2B01:00: in a query, + stands for a blank, so \
             it is written %2B"
        } else {
            "must be a time with its offset from UTC, like 2026-11-27T09:30:00Z or 2026-11-27T10:30:00+01:00 (RFC 3339)"
        });
    };
    let nanos = read.nanosecond();
    if nanos >= 1_000_000_000 {
        return Err("must not be a leap second, which cannot be kept");
    }
    if !nanos.is_multiple_of(1_000) {
        return Err("must have at most six digits behind its seconds");
    }
    let read = read.with_timezone(&Utc);
    if YEARS.contains(&read.year()) { Ok(read) } else { Err("must be of the years 0000 to 9999") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::problem::Problem;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not the question")]
    struct Body {
        #[serde(default, deserialize_with = "present")]
        name: Option<String>,
        #[serde(default, deserialize_with = "optional_time")]
        at: Option<DateTime<Utc>>,
        #[serde(default)]
        count: u16,
        #[serde(default, deserialize_with = "present")]
        window: Option<Window>,
        #[serde(deserialize_with = "object")]
        owner: Owner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not the question")]
    struct Owner {
        email: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not the question")]
    struct Query {
        period: String,
        limit: Option<u16>,
        #[serde(default, deserialize_with = "optional_time")]
        from: Option<DateTime<Utc>>,
        window: Option<Window>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Window {
        Hour,
        Day,
    }

    fn told(error: &ApiError) -> (String, String, Value) {
        let problem = serde_json::to_value(Problem::of(error, "")).unwrap();
        (error.code().to_owned(), error.to_string(), problem["errors"].clone())
    }

    #[test]
    fn a_body_that_does_not_fit_is_told_which_field_it_is() {
        let fits = |body: &str| parse_body::<Body>(body.as_bytes());
        assert!(fits("{\"owner\":{\"email\":\"a\"},\"at\":null}").is_ok());
        let owner = "\"owner\":{\"email\":\"a\"}";
        for (body, pointer, detail) in [
            (format!("{{{owner},\"name\":null}}"), "/name", "must be a string, not null"),
            (format!("{{{owner},\"name\":5}}"), "/name", "must be a string"),
            (format!("{{{owner},\"count\":null}}"), "/count", "must be a whole number, not null"),
            (format!("{{{owner},\"count\":70000}}"), "/count", "must be a whole number"),
            (format!("{{{owner},\"count\":1e400}}"), "/count", "must not be a number out of range"),
            (format!("{{{owner},\"name\":1e400}}"), "/name", "must not be a number out of range"),
            (format!("{{{owner},\"at\":-1e999}}"), "/at", "must not be a number out of range"),
            ("{\"owner\":1e400}".to_owned(), "/owner", "must not be a number out of range"),
            (
                "{\"owner\":{\"email\":-1e999}}".to_owned(),
                "/owner/email",
                "must not be a number out of range",
            ),
            ("{\"owner\":{\"email\":null}}".to_owned(), "/owner/email", "must be a string, not null"),
            ("{\"owner\":{}}".to_owned(), "/owner/email", "must be given"),
            ("{\"owner\":null}".to_owned(), "/owner", "must be an object, not null"),
            ("{\"owner\":[\"a\"]}".to_owned(), "/owner", "must be an object"),
            ("{}".to_owned(), "/owner", "must be given"),
            (format!("{{{owner},{owner}}}"), "/owner", "must be given once"),
            (
                format!("{{{owner},\"col/our\":1}}"),
                "/col~1our",
                "is unknown: expected one of `name`, `at`, `count`, `window`, `owner`",
            ),
            (
                format!("{{{owner},\"at\":\"tomorrow\"}}"),
                "/at",
                "must be a time with its offset from UTC, like 2026-11-27T09:30:00Z or 2026-11-27T10:30:00+01:00 (RFC 3339)",
            ),
        ] {
            let (code, _, errors) = told(&fits(&body).unwrap_err());
            assert_eq!(
                (code.as_str(), errors),
                ("invalid-body", json!([{ "pointer": pointer, "detail": detail }])),
                "{body}"
            );
        }
        for whole in ["null", "[]", "5", "\"a\""] {
            let (code, detail, errors) = told(&fits(whole).unwrap_err());
            assert_eq!((code.as_str(), errors), ("invalid-body", Value::Null));
            assert!(detail.starts_with("The request body does not fit: it must be an object"), "{detail}");
        }
        let (code, detail, _) = told(&fits("1e400").unwrap_err());
        assert_eq!(
            (code.as_str(), detail.as_str()),
            ("invalid-body", "The request body does not fit: it must not be a number out of range")
        );
        let two = format!("{{{owner}}} {{}}");
        for broken in ["", "{", two.as_str(), "{\"owner\":{\"email\":\"\\ud800\"}}"] {
            assert_eq!(told(&fits(broken).unwrap_err()).0, "malformed-json", "{broken}");
        }
        let long = format!("{{\"{}\":1}}", "\u{7}x".repeat(100_000));
        let (_, detail, _) = told(&fits(&long).unwrap_err());
        assert!(detail.len() < 500 && !detail.contains('\u{7}'), "{detail}");
    }

    #[test]
    fn what_is_no_text_in_the_place_of_a_choice_is_told_where_it_is() {
        let fits = |window: &str| {
            let body = format!("{{\"owner\":{{\"email\":\"a\"}},\"window\":{window}}}");
            parse_body::<Body>(body.as_bytes()).map_err(|error| told(&error))
        };
        assert!(fits("\"day\"").is_ok());
        let no_text = "must be one of its choices, a string";
        for (window, detail) in [
            ("null", no_text),
            ("5", no_text),
            ("[1e400]", no_text),
            ("true", no_text),
            ("\"week\"", "must be `hour` or `day`"),
        ] {
            let (code, _, errors) = fits(window).unwrap_err();
            let wanted = json!([{ "pointer": "/window", "detail": detail }]);
            assert_eq!((code.as_str(), errors), ("invalid-body", wanted), "{window}");
        }
        for broken in ["NaN", "", "5,", "[1"] {
            assert_eq!(fits(broken).unwrap_err().0, "malformed-json", "{broken}");
        }
    }

    #[test]
    fn a_date_and_a_time_have_years_that_can_be_kept_and_written() {
        for good in ["0000-01-01", "0001-01-01", "2026-12-31", "2028-02-29", "9999-12-31"] {
            assert_eq!(date(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "-5000-01-01",
            "+12000-01-01",
            "2026-1-1",
            " 2026-12-31",
            "2026-02-30",
            "2026-12-31T00:00:00Z",
        ] {
            assert_eq!(date(bad), Err("must be a date like 2026-12-31, of the years 0000 to 9999"), "{bad}");
        }
        assert!(time("0000-01-01T00:00:00Z").is_ok() && time("9999-12-31T23:59:59Z").is_ok());
        for bad in ["9999-12-31T23:59:59-05:00", "0000-01-01T00:00:00+05:00"] {
            assert_eq!(time(bad), Err("must be of the years 0000 to 9999"), "{bad}");
        }
        for bad in ["-5000-01-01T00:00:00Z", "+12000-01-01T00:00:00Z"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_query_that_does_not_fit_is_told_which_parameter_it_is() {
        let fits = |query: &str| parse_query::<Query>(query);
        assert!(fits("period=2026-11&limit=5&from=2026-11-27T10:30:00%2B01:00&window=day").is_ok());
        let plus = "must be a time like 2026-11-27T09:30:00Z or 2026-11-27T10:30:00%2B01:00: in a query, + stands for a \
                    blank, so it is written %2B";
        let time = "must be a time with its offset from UTC, like 2026-11-27T09:30:00Z or 2026-11-27T10:30:00+01:00 (RFC 3339)";
        for (query, detail) in [
            ("", "period must be given.".to_owned()),
            ("period=a&period=b", "period must be given once.".to_owned()),
            ("period=a&limit=abc", "limit must be a whole number.".to_owned()),
            ("period=a&limit=", "limit must be a whole number.".to_owned()),
            ("period=a&limit=70000", "limit is too large or too small.".to_owned()),
            ("period=a&window=week", "window must be `hour` or `day`.".to_owned()),
            ("period=a&from=2026-11-27", format!("from {time}.")),
            ("period=a&from=2026-11-27T10:30:00+01:00", format!("from {plus}.")),
            (
                "period=a&from=2026-11-27T23:59:60Z",
                "from must not be a leap second, which cannot be kept.".to_owned(),
            ),
            (
                "period=a&from=2026-11-27T09:30:00.1234567Z",
                "from must have at most six digits behind its seconds.".to_owned(),
            ),
            (
                "period=a&colour=red",
                "colour is unknown: expected one of `period`, `limit`, `from`, `window`.".to_owned(),
            ),
            ("period=%ff", "period must be UTF-8 once its % are decoded.".to_owned()),
        ] {
            let (code, said, _) = told(&fits(query).unwrap_err());
            assert_eq!((code.as_str(), said), ("invalid-parameter", detail), "{query}");
        }
        assert!(
            told(&fits("period=a&=").unwrap_err()).1.starts_with("A parameter without a name is unknown")
        );
        assert!(fits("period=a&from=2026-11-27T09:30:00.123456Z").is_ok());
        let none = no_parameters("colour=red&size=5").to_string();
        assert_eq!(none, "colour is unknown: this operation takes no parameters.");
        assert!(no_parameters("&=").to_string().starts_with("A parameter without a name is unknown"));
        assert!(no_parameters("&&").to_string().starts_with("The query string is unknown"));
    }
}
