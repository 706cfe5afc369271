//! Bodies.

use serde_json::{Value, json};

use super::{Aim, sound_body};
use crate::support::{Raw, System, unique};

/// The largest body that is taken, unless configured otherwise.
const LIMIT: usize = 1 << 20;

/// Bodies that no operation takes, and how each is refused.
fn unfit() -> Vec<(&'static str, Vec<u8>, (u16, &'static str))> {
    const MALFORMED: (u16, &str) = (400, "malformed-json");
    const INVALID: (u16, &str) = (422, "invalid-body");
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", vec![], MALFORMED),
        ("blanks", text("  \n"), MALFORMED),
        ("no JSON", text("name=a&kind=b"), MALFORMED),
        ("XML", text("<name>a</name>"), MALFORMED),
        ("cut short", text("{\"name\": \"a"), MALFORMED),
        ("two values", text("{} {}"), MALFORMED),
        ("a comma too many", text("{\"name\": \"a\",}"), MALFORMED),
        ("a comment", text("{/* */}"), MALFORMED),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), b"{}"].concat(), MALFORMED),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), MALFORMED),
        ("Latin-1", b"{\"name\": \"\xe4\"}".to_vec(), MALFORMED),
        ("a NUL byte", text("{\"name\": \"a\0\"}"), MALFORMED),
        ("a line break in a string", text("{\"name\": \"a\nb\"}"), MALFORMED),
        ("half a surrogate", text("{\"name\": \"\\ud800\"}"), MALFORMED),
        ("an unknown escape", text("{\"name\": \"\\x41\"}"), MALFORMED),
        ("nesting", [b"{\"data\":".as_slice(), &[b'['; 10_000]].concat(), MALFORMED),
        ("closed nesting", [vec![b'['; 10_000], vec![b']'; 10_000]].concat(), MALFORMED),
        ("nested objects", text(&("{\"data\":".repeat(10_000) + "1" + &"}".repeat(10_000))), MALFORMED),
        ("not a number", text("{\"name\": NaN}"), MALFORMED),
        ("null", text("null"), INVALID),
        ("a number", text("42"), INVALID),
        ("a string", text("\"name\""), INVALID),
        ("an empty list", text("[]"), INVALID),
        ("fields by their places", text("[\"a\", \"b\", {}, null]"), INVALID),
        ("one field by its place", text("[\"bh_rt_\"]"), INVALID),
        ("an unknown field", text("{\"colour\": 1}"), INVALID),
        ("a dangerous field", text("{\"__proto__\": {}}"), INVALID),
        ("an object as a field's name", text("{\"name\": \"a\", \"\": {}}"), INVALID),
    ]
}

#[tokio::test]
async fn what_is_no_json_of_the_right_shape_is_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let mut refused = 0;
    for operation in system.contract.operations().iter().filter(|operation| operation.takes_body()) {
        let path = aim.path(operation);
        for (what, body, (status, code)) in unfit() {
            let answer = aim.call(operation, &path).body("application/json", body).await;
            let got = (answer.status, answer.code());
            assert_eq!(got, (status, code.to_owned()), "{what} to {}: {}", operation.id, answer.show());
            refused += 1;
        }
        // The same with one field twice, whatever the field is.
        let sound = sound_body(operation).to_string();
        let twice = format!("{},{}", &sound[..sound.len() - 1], &sound[1..]);
        aim.call(operation, &path).body("application/json", twice).await.refused(422, "invalid-body");
    }
    assert!(refused > 200);
    aim.assert_missed();
}

#[tokio::test]
async fn only_declared_json_is_read() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    for operation in system.contract.operations().iter().filter(|operation| operation.takes_body()) {
        let (path, body) = (aim.path(operation), sound_body(operation).to_string());
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
            answer.refused(415, "unsupported-media-type");
        }
        aim.call(operation, &path).untyped(body).await.refused(415, "unsupported-media-type");
    }
    aim.assert_missed();
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read_to_its_end() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let authorization = aim.tenant.owner.caller.authorization();
    for operation in system.contract.operations().iter().filter(|operation| operation.takes_body()) {
        let body = format!("{{\"name\": \"{}\"}}", "a".repeat(LIMIT));
        let answer = aim.call(operation, &aim.path(operation)).body("application/json", body).await;
        answer.refused(413, "body-too-large");
    }
    let head = |length: &str| {
        format!(
            "POST /v1/resources HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\n{length}\r\n\r\n"
        )
    };
    // Announced, and never sent.
    let announced = Raw::send(system, head("Content-Length: 99999999999").as_bytes()).await;
    assert_eq!(announced.statuses(), [413], "{announced:?}");
    // Not announced: it comes in pieces until it is too much.
    let mut pieces = head("Transfer-Encoding: chunked").into_bytes();
    for _ in 0..20 {
        pieces.extend_from_slice(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).as_bytes());
    }
    let unannounced = Raw::send(system, &pieces).await;
    assert_eq!(unannounced.statuses(), [413], "{:.300}", unannounced.text);
    // Just under the limit it is read; the path of it is longer than a name may be, so nothing is made.
    let body = json!({ "name": "a".repeat(LIMIT - 100), "kind": "b" });
    let answer = aim.tenant.owner.caller.post("/v1/resources", &body).await;
    answer.refused(422, "validation-failed");
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

/// The body with the value at each place of it replaced, once for each place.
fn variations(body: &Value, value: &Value) -> Vec<Value> {
    let mut variations = Vec::new();
    match body {
        Value::Object(members) => {
            for (name, member) in members {
                for variation in std::iter::once(value.clone()).chain(variations_of(member, value)) {
                    let mut body = body.clone();
                    body[name] = variation;
                    variations.push(body);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for variation in std::iter::once(value.clone()).chain(variations_of(item, value)) {
                    let mut body = body.clone();
                    body[index] = variation;
                    variations.push(body);
                }
            }
        }
        _ => {}
    }
    variations
}

fn variations_of(body: &Value, value: &Value) -> Vec<Value> {
    variations(body, value)
}

#[tokio::test]
async fn whatever_stands_in_a_field_is_kept_as_it_is_or_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let (mut kept, mut refused) = (0, 0);
    for operation in system.contract.operations().iter().filter(|operation| operation.takes_body()) {
        let path = aim.path(operation);
        for surprise in surprises() {
            for mut body in variations(&sound_body(operation), &surprise) {
                // Names that have to be unique stay so, where they are not the surprise.
                for (field, name) in
                    [("slug", format!("acme-{}", unique())), ("email", format!("{}@x", unique()))]
                {
                    if body.get(field).is_some_and(|value| *value != surprise) {
                        body[field] = json!(name);
                    }
                }
                let answer = aim.call(operation, &path).json(&body).await;
                if answer.status < 300 {
                    kept += 1;
                    assert_kept(&body, &answer.body);
                } else {
                    refused += 1;
                    let expected = [400, 401, 403, 409, 422].contains(&answer.status);
                    assert!(expected, "{}: {body}: {}", operation.id, answer.show());
                }
            }
        }
    }
    assert!(kept > 20 && refused > 300, "{kept} kept, {refused} refused");
    system.assert_sound();
}

/// What was sent and is shown again is shown as it was sent.
fn assert_kept(sent: &Value, answer: &str) {
    let Ok(shown) = serde_json::from_str::<Value>(answer) else { return };
    for field in ["name", "kind", "data", "plan"] {
        if let (Some(sent), Some(shown)) = (sent.get(field), shown.get(field)) {
            assert!(sent == shown || sent.is_null(), "{sent} became {shown}");
        }
    }
}
