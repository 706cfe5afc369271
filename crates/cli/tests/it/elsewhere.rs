//! The API below a path of a public address, with an issuer of another name, and called by pages of other origins.

use serde_json::{Value, json};

use crate::support::{Call, MakesResources, Options, System};

#[tokio::test]
async fn addresses_lead_to_where_clients_reach_the_api() {
    let api = vec![
        ("BULKHEAD_PUBLIC_URL", "https://example.com/p/".to_owned()),
        ("BULKHEAD_ISSUER", "https://id.example.com/x".to_owned()),
        ("BULKHEAD_CORS_ORIGINS", "https://app.example.com,http://localhost:3000".to_owned()),
    ];
    let system = System::start("elsewhere", Options { api, ..Options::default() }).await;
    addresses(&system).await;
    documentation(&system).await;
    pages_of_other_origins(&system).await;
    system.assert_sound();
}

async fn addresses(system: &System) {
    let anybody = system.anonymous();
    let metadata = anybody.get("/.well-known/openid-configuration").await.expect(200);
    assert_eq!(metadata.at("/issuer"), "https://id.example.com/x");
    assert_eq!(metadata.at("/jwks_uri"), "https://example.com/p/.well-known/jwks.json");
    assert_eq!(metadata.at("/token_endpoint"), "https://example.com/p/v1/auth/refresh");
    let info = anybody.get("/").await.expect(200);
    assert_eq!((info.at("/docs"), info.at("/openapi")), ("/p/docs".to_owned(), "/p/openapi.json".to_owned()));

    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({ "name": "a", "kind": "b" });
    let make = || owner.post("/v1/resources", &body).header("idempotency-key", "once");
    for made in [make().await.expect(201), make().await.expect(201)] {
        assert_eq!(made.header("location"), format!("/p/v1/resources/{}", made.at("/id")));
    }
    owner.post("/v1/resources", &body).await.expect(201);
    let page = owner.get("/v1/resources?limit=1").await.expect(200);
    let cursor = page.at("/next_cursor");
    assert_eq!(page.header("link"), format!("</p/v1/resources?limit=1&cursor={cursor}>; rel=\"next\""));
    let key = json!({ "name": "a", "role": "developer" });
    let make = || owner.post("/v1/api-keys", &key).header("idempotency-key", "once");
    let made = make().await.expect(201);
    let again = make().await.refused(409, "already-completed");
    assert_eq!(again.header("location"), made.header("location"));
    assert!(again.header("location").starts_with("/p/v1/api-keys/key_"));
}

async fn documentation(system: &System) {
    let anybody = system.anonymous();
    let document = anybody.get("/openapi.json").unchecked().await.expect(200);
    assert_eq!(document.at("/servers/0/url"), "/p");
    assert_eq!(anybody.get("/docs").unchecked().await.expect(308).header("location"), "/p/docs/");
    let config = anybody.get("/docs/swagger-initializer.js").unchecked().await.expect(200);
    assert!(config.body.contains("\"/p/openapi.json\""), "{}", config.body);
    let page = anybody.get("/redoc").unchecked().await.expect(200);
    for address in ["spec-url=\"/p/openapi.json\"", "src=\"/p/redoc/redoc.standalone.js\""] {
        assert!(page.body.contains(address), "{}", page.body);
    }
}

/// What a browser asks before it lets a page send a PATCH with a body.
fn preflight<'a>(system: &'a System, path: &str, origin: &str) -> Call<'a> {
    let call = system.anonymous().call("OPTIONS", path).header("origin", origin);
    let call = call.header("access-control-request-method", "PATCH");
    call.header("access-control-request-headers", "authorization,content-type,if-match")
}

async fn pages_of_other_origins(system: &System) {
    let tenant = system.tenant().await;
    let path = format!("/v1/resources/{}", tenant.resource("a thing").await);
    let told = |answer: &crate::support::Answer| {
        [
            "vary",
            "access-control-allow-origin",
            "access-control-allow-methods",
            "access-control-allow-credentials",
        ]
        .map(|name| answer.header(name).to_owned())
    };
    for origin in ["https://app.example.com", "http://localhost:3000"] {
        let allowed = preflight(system, &path, origin).unchecked().await.expect(204);
        assert_eq!(told(&allowed), ["origin", origin, "GET, HEAD, DELETE, PATCH", ""].map(ToOwned::to_owned));
        for header in ["authorization", "content-type", "if-match", "idempotency-key", "x-api-key"] {
            assert!(allowed.header("access-control-allow-headers").contains(header), "{header}");
        }
        let read = tenant.owner.caller.get(&path).header("origin", origin).await.expect(200);
        assert_eq!(told(&read), ["origin", origin, "", ""].map(ToOwned::to_owned));
        for header in
            ["etag", "location", "link", "ratelimit", "retry-after", "x-request-id", "idempotent-replayed"]
        {
            assert!(read.header("access-control-expose-headers").contains(header), "{header}");
        }
        // A page has to see why it was refused, too.
        let refused =
            system.anonymous().get(&path).header("origin", origin).await.refused(401, "missing-credentials");
        assert_eq!(refused.header("access-control-allow-origin"), origin);
    }
    let others = [
        "https://evil.example.com",
        "https://app.example.com.evil.example",
        "null",
        "https://APP.example.com",
    ];
    for origin in others {
        let refused = preflight(system, &path, origin).await.refused(405, "method-not-allowed");
        assert_eq!(told(&refused), ["origin", "", "", ""].map(ToOwned::to_owned));
        let read = tenant.owner.caller.get(&path).header("origin", origin).await.expect(200);
        assert_eq!(told(&read), ["origin", "", "", ""].map(ToOwned::to_owned));
    }
    // A client that is no browser asks with the same method for something else. A path that does not exist stays
    // unknown.
    let asked = system.anonymous().call("OPTIONS", &path).header("origin", "https://app.example.com");
    asked.await.refused(405, "method-not-allowed");
    preflight(system, "/v1/nothing", "https://app.example.com").await.refused(404, "unknown-route");
    let unchanged: Value = tenant.owner.caller.get(&path).await.json();
    assert_eq!(unchanged["version"], 1);

    // Where no origin is named, nothing is said about origins.
    let shared = System::shared().await;
    let refused =
        preflight(shared, "/v1/me", "https://app.example.com").await.refused(405, "method-not-allowed");
    assert_eq!(told(&refused), ["", "", "", ""].map(ToOwned::to_owned));
}
