//! Bodies.

use serde_json::{Value, json};

use super::{Aim, sound_body};
use crate::support::{Operation, Raw, System, unique};

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
    // Into the first string.
    let into = |bytes: &[u8]| {
        let at = sound.find("\":\"").unwrap() + 3;
        [&sound.as_bytes()[..at], bytes, &sound.as_bytes()[at..]].concat()
    };
    vec![
        ("cut short", open.as_bytes().to_vec(), MALFORMED),
        ("two values", format!("{sound} {{}}").into_bytes(), MALFORMED),
        ("a comma too many", format!("{open},}}").into_bytes(), MALFORMED),
        ("Latin-1", into(b"\xe4"), MALFORMED),
        ("a NUL byte", into(b"\0"), MALFORMED),
        ("a line break", into(b"\n"), MALFORMED),
        ("half a surrogate", into(b"\\ud800"), MALFORMED),
        ("an unknown escape", into(b"\\x41"), MALFORMED),
        ("everything twice", format!("{open},{}", &sound[1..]).into_bytes(), INVALID),
        ("a field too many", format!("{open},\"colour\":1}}").into_bytes(), INVALID),
    ]
}

#[tokio::test]
async fn what_is_no_json_of_the_right_shape_is_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let mut refused = 0;
    for operation in system.contract.those(Operation::takes_body) {
        let path = aim.path(operation);
        let spoilt = spoilt(&sound_body(operation).to_string());
        for (what, body, (status, code)) in unfit().into_iter().chain(spoilt) {
            let answer = aim.call(operation, &path).body("application/json", body).await;
            let got = (answer.status, answer.code());
            assert_eq!(got, (status, code.to_owned()), "{what} to {}: {}", operation.id, answer.show());
            refused += 1;
        }
    }
    assert!(refused > 200);
    // Nor are fields filled by their places further inside.
    let owner = json!(["a@example.com", "correct horse battery staple"]);
    let body = json!({ "slug": unique(), "name": "a", "plan": "free", "owner": owner });
    let call = aim.call(system.contract.operation("create_tenant"), "/v1/admin/tenants").json(&body);
    call.await.refused(INVALID.0, INVALID.1);
    // Nor is one of two members of the same name taken further inside.
    let owner = r#"{"email":"a@example.com","password":"correct horse","email":"b@example.com"}"#;
    let body = format!(r#"{{"slug":"{}","name":"a","plan":"free","owner":{owner}}}"#, unique());
    let call = aim.call(system.contract.operation("create_tenant"), "/v1/admin/tenants");
    let answer = call.body("application/json", body).await;
    assert!(answer.at("/errors/0/pointer").starts_with("/owner"), "{}", answer.body);
    answer.refused(INVALID.0, INVALID.1);
    // Where any JSON may be inside, it has to be UTF-8.
    for bytes in [&b"\xff"[..], b"\xe4", b"\xed\xa0\x80", b"\xc0\x80"] {
        let body = [br#"{"name":"a","kind":"b","data":{"a":""#, bytes, br#""}}"#].concat();
        let call = aim.call(system.contract.operation("create_resource"), "/v1/resources");
        call.body("application/json", body).await.refused(MALFORMED.0, MALFORMED.1);
    }
    // Nor may any JSON be nested without end.
    for deep in ["[", "{\"a\":"] {
        let body = format!("{{\"name\":\"a\",\"kind\":\"b\",\"data\":{{\"a\":{}", deep.repeat(10_000));
        let call = aim.call(system.contract.operation("create_resource"), "/v1/resources");
        call.body("application/json", body).await.refused(400, "malformed-json");
    }
    let (malformed, invalid) = ((400, "malformed-json"), (422, "validation-failed"));
    for (number, (status, code)) in [
        ("1e999999", invalid),
        ("-1e999999", invalid),
        ("0x10", malformed),
        ("01", malformed),
        (".5", malformed),
        ("1.", malformed),
    ] {
        let body = format!("{{\"name\":\"a\",\"kind\":\"b\",\"data\":{{\"a\":{number}}}}}");
        let call = aim.call(system.contract.operation("create_resource"), "/v1/resources");
        call.body("application/json", body).await.refused(status, code);
    }
    aim.assert_missed();
}

/// JSON allows numbers that no double holds, so they are no errors of its syntax.
#[tokio::test]
async fn a_number_out_of_range_is_told_where_it_stands() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let mark = "here";
    let mut refused = 0;
    for operation in system.contract.those(Operation::takes_body) {
        let path = aim.path(operation);
        let places = places(&sound_body(operation), &json!(mark));
        // Inside of a resource's data it is a number like any other.
        for (pointer, body) in places.into_iter().filter(|(pointer, _)| !pointer.starts_with("/data/")) {
            for number in ["1e400", "-1e400"] {
                let body = body.to_string().replace(&json!(mark).to_string(), number);
                let answer = aim.call(operation, &path).body("application/json", body.as_str()).await;
                // Any JSON is read there, and then an object is asked for.
                let code = if pointer == "/data" { "validation-failed" } else { INVALID.1 };
                let named = answer.refused(INVALID.0, code).at("/errors/0/pointer");
                assert_eq!(named, pointer, "{number} to {}: {body}", operation.id);
                refused += 1;
            }
        }
    }
    assert!(refused > 40, "{refused}");
    aim.assert_missed();
}

/// The body with `value` at each place of it, once for each place, and the JSON Pointer to that place.
fn places(body: &Value, value: &Value) -> Vec<(String, Value)> {
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

#[tokio::test]
async fn only_declared_json_is_read() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    for operation in system.contract.those(Operation::takes_body) {
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
    // What would have to be unpacked first is not JSON as it stands.
    for coding in ["gzip", "br", "deflate, gzip", "zstd", "x"] {
        let operation = system.contract.operation("create_resource");
        let call = aim
            .call(operation, "/v1/resources")
            .json(&sound_body(operation))
            .header("content-encoding", coding);
        call.await.refused(415, "unsupported-media-type");
    }
    aim.assert_missed();
    let plain = json!({ "name": "a", "kind": "b" });
    let call = aim.tenant.owner.caller.post("/v1/resources", &plain).header("content-encoding", "identity");
    call.await.expect(201);
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read_to_its_end() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let authorization = aim.tenant.owner.caller.authorization();
    for operation in system.contract.those(Operation::takes_body) {
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

#[tokio::test]
async fn whatever_stands_in_a_field_is_kept_as_it_is_or_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let (mut kept, mut refused) = (0, 0);
    for operation in system.contract.those(Operation::takes_body) {
        let path = aim.path(operation);
        for surprise in surprises() {
            for (_, mut body) in places(&sound_body(operation), &surprise) {
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
                    // Without a credential a body is small.
                    let expected = [400, 401, 403, 409, 413, 422].contains(&answer.status);
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
            assert!(sent == shown, "{sent} became {shown}");
        }
    }
}
