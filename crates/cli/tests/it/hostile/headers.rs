//! Headers that the API does not know.

use serde_json::json;

use crate::support::{MakesResources, System};

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
