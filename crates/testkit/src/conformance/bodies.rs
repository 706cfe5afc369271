//! Bodies, and what stands in them.

use serde_json::{Value, json};

use super::aim::{Aim, query};
use crate::{App, Operation};

/// The largest body that is taken, unless configured otherwise.
const LIMIT: usize = 1 << 20;

const MALFORMED: (u16, &str) = (400, "malformed-json");
const INVALID: (u16, &str) = (422, "invalid-body");

/// Bodies that no operation takes, and how each is refused.
fn unfit() -> Vec<(&'static str, Vec<u8>, (u16, &'static str))> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", vec![], MALFORMED),
        ("blanks", text("  \n"), MALFORMED),
        ("no JSON", text("name=a&kind=b"), MALFORMED),
        ("XML", text("<name>a</name>"), MALFORMED),
        ("a comment", text("{/* */}"), MALFORMED),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), b"{}"].concat(), MALFORMED),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), MALFORMED),
        ("not a number", text("NaN"), MALFORMED),
        ("nesting", vec![b'['; 10_000], INVALID),
        ("closed nesting", [vec![b'['; 8_000], vec![b']'; 8_000]].concat(), INVALID),
        ("null", text("null"), INVALID),
        ("a number", text("42"), INVALID),
        ("a string", text("\"name\""), INVALID),
        ("an empty list", text("[]"), INVALID),
        ("fields by their places", text("[\"a\", \"b\", {}, null]"), INVALID),
        ("one field by its place", text("[\"bh_rt_\"]"), INVALID),
        ("an unknown field", text("{\"colour\": 1}"), INVALID),
        ("a dangerous field", text("{\"__proto__\": {}}"), INVALID),
        ("a field without a name", text("{\"\": {}}"), INVALID),
    ]
}

/// The same, made from a body that would be taken.
fn spoilt(sound: &str) -> Vec<(&'static str, Vec<u8>, (u16, &'static str))> {
    let open = &sound[..sound.len() - 1];
    let mut spoilt = vec![
        ("cut short", open.as_bytes().to_vec(), MALFORMED),
        ("two values", format!("{sound} {{}}").into_bytes(), MALFORMED),
        ("a comma too many", format!("{open},}}").into_bytes(), MALFORMED),
        ("everything twice", format!("{open},{}", &sound[1..]).into_bytes(), INVALID),
        ("a field too many", format!("{open},\"colour\":1}}").into_bytes(), INVALID),
    ];
    // Into the first text, where there is one.
    if let Some(at) = sound.find("\":\"").map(|at| at + 3) {
        let into = |bytes: &[u8]| [&sound.as_bytes()[..at], bytes, &sound.as_bytes()[at..]].concat();
        spoilt.extend([
            ("Latin-1", into(b"\xe4"), MALFORMED),
            ("a NUL byte", into(b"\0"), MALFORMED),
            ("a line break", into(b"\n"), MALFORMED),
            ("half a surrogate", into(b"\\ud800"), MALFORMED),
            ("an unknown escape", into(b"\\x41"), MALFORMED),
        ]);
    }
    spoilt
}

/// What is no JSON, or JSON of another shape, is refused as `malformed-json` or `invalid-body`: cut, doubled, nested too deep,
/// with a member too many or twice, in another encoding. Nothing is done.
pub async fn bodies_that_do_not_fit_are_refused(app: &App) {
    let aim = Aim::take(app).await;
    for operation in app.contract.those(Operation::takes_body) {
        let path = aim.path(operation) + &query(app, operation, "");
        let spoilt = spoilt(&app.body(operation).to_string());
        for (what, body, wanted) in unfit().into_iter().chain(spoilt) {
            let answer = aim.call(operation, &path).body("application/json", body).await;
            let got = (answer.status, answer.code());
            assert_eq!((got.0, got.1.as_str()), wanted, "{what} to {}: {}", operation.shown(), answer.show());
        }
    }
    aim.assert_missed();
}

/// A number that no double holds is no error of JSON's syntax: in the place of each field it is refused by the field's name.
/// Inside of a member that may be any JSON it is a number like any other.
pub async fn a_number_out_of_range_is_told_where_it_stands(app: &App) {
    let aim = Aim::take(app).await;
    let mark = json!("here");
    for operation in app.contract.those(Operation::takes_body) {
        let path = aim.path(operation) + &query(app, operation, "");
        for (pointer, body) in places(&app.body(operation), &mark) {
            let Some(is_any) = app.contract.is_any_json(operation.body_schema(), &pointer) else { continue };
            for number in ["1e400", "-1e400"] {
                let body = body.to_string().replace(&mark.to_string(), number);
                let answer = aim.call(operation, &path).body("application/json", body.as_str()).await;
                let shown = format!("{number} to {}: {body}: {}", operation.shown(), answer.show());
                // Where any JSON is read, and then an object is asked for, it may be refused as what it is.
                let code = answer.code();
                let refused = code == INVALID.1 || is_any && code == "validation-failed";
                assert!(answer.status == INVALID.0 && refused, "{shown}");
                assert_eq!(answer.at("/errors/0/pointer"), pointer, "{shown}");
            }
        }
    }
    aim.assert_missed();
}

/// The body with `value` at each place of it, once for each place, and the JSON Pointer to that place.
#[doc(hidden)]
pub fn places(body: &Value, value: &Value) -> Vec<(String, Value)> {
    let members: Vec<(String, &Value)> = match body {
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
        Value::Array(items) => (0..).zip(items).map(|(index, item)| (index.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (name, member) in members {
        let pointer = format!("/{name}");
        let inside = places(member, value);
        for (below, changed) in std::iter::once((String::new(), value.clone())).chain(inside) {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = changed;
            found.push((format!("{pointer}{below}"), body));
        }
    }
    found
}

/// A body that is not declared as `application/json` is refused, JSON or not.
pub async fn only_declared_json_is_read(app: &App) {
    let aim = Aim::take(app).await;
    for operation in app.contract.those(Operation::takes_body) {
        let (path, body) =
            (aim.path(operation) + &query(app, operation, ""), app.body(operation).to_string());
        for media_type in [
            "",
            "text/plain",
            "text/json",
            "application/json5",
            "application/problem+json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application",
            "application/json, text/plain",
        ] {
            let answer = aim.call(operation, &path).body(media_type, body.as_str()).await;
            let got = (answer.status, answer.code());
            let wanted = (415, "unsupported-media-type".to_owned());
            assert_eq!(got, wanted, "{media_type:?} to {}: {}", operation.shown(), answer.show());
        }
        aim.call(operation, &path).untyped(body).await.refused(415, "unsupported-media-type");
    }
    aim.assert_missed();
}

/// A body of more than a mebibyte is refused.
pub async fn a_body_over_the_limit_is_refused(app: &App) {
    let aim = Aim::take(app).await;
    for operation in app.contract.those(Operation::takes_body) {
        let path = aim.path(operation) + &query(app, operation, "");
        let body = format!("{{\"name\": \"{}\"}}", "a".repeat(LIMIT));
        let answer = aim.call(operation, &path).body("application/json", body).await;
        let got = (answer.status, answer.code());
        assert_eq!(got, (413, "body-too-large".to_owned()), "{}: {}", operation.shown(), answer.show());
    }
    aim.assert_missed();
}

/// Values that are put in place of every value of a sound body.
fn surprises() -> Vec<Value> {
    let long = "x".repeat(100_000);
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!("\u{1b}[31m\r\n"),
        json!("\u{202e}\u{feff}\u{1F4A9}"),
        json!("\u{200b}\u{2060}\u{e0041}"),
        json!("Cafe\u{301} \u{1112}\u{1161}\u{11ab}"),
        json!(format!("a{}", "\u{301}\u{323}".repeat(5_000))),
        json!("'; DROP SCHEMA platform CASCADE; --"),
        json!("$1 %s {0} ${jndi:ldap://x} {{7*7}}"),
        json!("../../../etc/passwd"),
        json!("=1+1"),
        json!(long),
        json!([]),
        json!({}),
        json!({ "\u{0}": "\u{0}" }),
        json!({ &long: &long }),
        deep,
    ]
}

/// Dates and times that a library may read, and that cannot be kept or written.
const MOMENTS: [&str; 8] = [
    "-5000-01-01",
    "+12000-01-01",
    "2026-1-1",
    "-5000-01-01T00:00:00Z",
    "+12000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-05:00",
    "2026-12-31T10:00:00.123456789Z",
    "2026-06-30T23:59:60Z",
];

/// Whatever stands in the place of a field is refused by a documented problem, or taken and then shown as it was sent.
pub async fn what_is_sent_is_kept_or_refused(app: &App) {
    let aim = Aim::take(app).await;
    let (mut kept, mut refused) = (0, 0);
    for operation in app.contract.those(Operation::takes_body) {
        let path = aim.path(operation) + &query(app, operation, "");
        for surprise in surprises() {
            let of = places(&app.body(operation), &surprise).len();
            for place in 0..of {
                // Each time a body of its own: a text that may exist once does, where it is not the surprise.
                let (_, body) = places(&aim.tenant.body(operation).await, &surprise).swap_remove(place);
                let answer = aim.call(operation, &path).json(&body).await;
                if answer.status < 300 {
                    kept += 1;
                    assert_kept(operation, &body, &answer.body);
                } else {
                    refused += 1;
                    // Without a credential a body is small.
                    let expected = [400, 401, 403, 404, 409, 413, 422].contains(&answer.status);
                    assert!(expected, "{}: {body}: {}", operation.shown(), answer.show());
                }
            }
        }
        for pointer in app.contract.moments(operation.body_schema()) {
            for moment in MOMENTS {
                let mut body = aim.tenant.body(operation).await;
                let Some(place) = body.pointer_mut(&pointer) else { continue };
                *place = json!(moment);
                let answer = aim.call(operation, &path).json(&body).await;
                assert_eq!(answer.status, 422, "{}: {body}: {}", operation.shown(), answer.show());
            }
        }
    }
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused");
    aim.assert_sound();
}

/// What was sent and is shown again is shown as it was sent, but for addresses, whose capitals mean nothing, and times, which
/// have several spellings.
fn assert_kept(operation: &Operation, sent: &Value, answer: &str) {
    let Ok(shown) = serde_json::from_str::<Value>(answer) else { return };
    for (field, sent) in sent.as_object().into_iter().flatten() {
        let is_spelt = field == "email" || field.ends_with("_at");
        if let Some(shown) = shown.get(field).filter(|_| !is_spelt) {
            assert!(sent == shown, "{}: {sent} became {shown}", operation.shown());
        }
    }
}
