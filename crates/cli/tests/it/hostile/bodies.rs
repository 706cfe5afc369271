//! Bodies, further inside and piece by piece.

use serde_json::json;

use crate::support::{Aim, Raw, System, unique};

/// The largest body that is taken, unless configured otherwise.
const LIMIT: usize = 1 << 20;

const MALFORMED: (u16, &str) = (400, "malformed-json");
const INVALID: (u16, &str) = (422, "invalid-body");

#[tokio::test]
async fn what_is_no_json_of_the_right_shape_is_refused_further_inside_too() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    // No fields are filled by their places.
    let owner = json!(["a@example.com", "correct horse battery staple"]);
    let body = json!({ "slug": unique(), "name": "a", "plan": "free", "owner": owner });
    let call = aim.call(system.contract.operation("create_tenant"), "/v1/admin/tenants").json(&body);
    call.await.refused(INVALID.0, INVALID.1);
    // Neither of two members of the same name is taken.
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

#[tokio::test]
async fn what_would_have_to_be_unpacked_first_is_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let operation = system.contract.operation("create_resource");
    for coding in ["gzip", "br", "deflate, gzip", "zstd", "x"] {
        let call = aim.sound_call(operation, "/v1/resources").header("content-encoding", coding);
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
