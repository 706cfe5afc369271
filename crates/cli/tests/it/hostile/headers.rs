//! Headers that change what an operation does.

use serde_json::json;

use super::{Aim, sound_body};
use crate::support::System;

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let mut asked = 0;
    for operation in system.contract.those(|operation| operation.takes("Idempotency-Key")) {
        let path = aim.path(operation);
        let call = || {
            let call = aim.call(operation, &path);
            if operation.takes_body() { call.json(&sound_body(operation)) } else { call }
        };
        let long = "x".repeat(256);
        for bad in
            [b"".as_slice(), b"\"", b"\"\"", b"a\"b", b"a\tb", "ä".as_bytes(), b"\xff", long.as_bytes()]
        {
            call().header("idempotency-key", bad).await.refused(400, "invalid-parameter");
            asked += 1;
        }
        let twice = call().header("idempotency-key", "one").another("idempotency-key", "one");
        twice.await.refused(400, "invalid-parameter");
    }
    assert!(asked >= 32);
    aim.assert_missed();
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let mut asked = 0;
    for operation in system.contract.those(|operation| operation.takes("If-Match")) {
        let path = aim.path(operation);
        let call = || {
            let call = aim.call(operation, &path);
            if operation.takes_body() { call.json(&sound_body(operation)) } else { call }
        };
        for bad in [
            b"".as_slice(),
            b"1",
            b"v1",
            b"\"1\"",
            b"\"v1",
            b"\"v\"",
            b"\"v-1\"",
            b"\"v+1\"",
            b"\"v01\"",
            b"\"v1.0\"",
            b"\"v1 \"",
            b"W/\"v1\"",
            b"\"v1\", \"v2\"",
            b"\"v99999999999999999999\"",
            b"**",
            b"\xff",
        ] {
            let answer = call().header("if-match", bad).await;
            let got = (answer.status, answer.code());
            assert_eq!(
                got,
                (400, "invalid-parameter".to_owned()),
                "{}: {}",
                operation.id,
                bad.escape_ascii()
            );
            asked += 1;
        }
        let twice = call().header("if-match", "\"v1\"").another("if-match", "\"v2\"");
        twice.await.refused(400, "invalid-parameter");
    }
    assert!(asked > 80);
    aim.assert_missed();
}

#[tokio::test]
async fn headers_that_the_api_does_not_know_change_nothing() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let id = tenant.resource("a thing").await;
    let path = format!("/v1/resources/{id}");
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-original-url", "/v1/users"),
        ("x-rewrite-url", "/v1/users"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("forwarded", "for=127.0.0.1"),
        ("x-user-id", "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"),
        ("x-role", "owner"),
        ("cookie", "session=1"),
        ("accept", "image/png"),
        ("range", "bytes=0-1"),
        ("if-none-match", "*"),
        ("traceparent", "00-zzzz-1-1"),
        ("expect", "100-continue"),
        ("upgrade", "h2c"),
    ] {
        let answer = tenant.owner.caller.get(&path).header(name, value).await.expect(200);
        assert_eq!(answer.at("/id"), id, "{name}");
    }
    let body = json!({ "name": "b", "kind": "b" });
    let deleted = tenant.owner.caller.post("/v1/resources", &body).header("x-http-method-override", "DELETE");
    deleted.await.expect(201);
    assert_eq!(tenant.count("resources"), 2);
}
