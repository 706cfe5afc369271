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
    // Clients make the address of metadata by putting its name between host and path, and a proxy may pass on the rest alone.
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/x"] {
        assert_eq!(anybody.get(path).unchecked().await.expect(200).json(), metadata.json(), "{path}");
    }
    let refused = anybody.get("/v1/me").await.refused(401, "missing-credentials");
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer resource_metadata=\"https://example.com/.well-known/oauth-protected-resource/p\""
    );
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/p"] {
        let resource = anybody.get(path).unchecked().await.expect(200);
        assert_eq!(resource.at("/resource"), "https://example.com/p", "{path}");
        assert_eq!(resource.at("/resource_documentation"), "https://example.com/p/docs", "{path}");
        assert_eq!(resource.at("/authorization_servers"), "[\"https://id.example.com/x\"]", "{path}");
        let asked = anybody.call("POST", path).unchecked().await.refused(405, "method-not-allowed");
        assert_eq!(asked.header("allow"), "GET, HEAD", "{path}");
    }
    for other in ["/.well-known/oauth-protected-resource/q", "/.well-known/oauth-authorization-server/p"] {
        anybody.get(other).unchecked().await.refused(404, "unknown-route");
    }
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
        // Every header that the API reads, by name: an asterisk would not stand for `Authorization` (Fetch, CORS protocol).
        insta::allow_duplicates! {
            insta::assert_snapshot!(allowed.header("access-control-allow-headers"), @"authorization, x-api-key, content-type, if-match, idempotency-key, x-tenant-id, x-request-id, x-correlation-id, traceparent");
        }
        assert_eq!((allowed.header("access-control-max-age"), allowed.body.as_str()), ("600", ""));
        let read = tenant.owner.caller.get(&path).header("origin", origin).await.expect(200);
        assert_eq!(told(&read), ["origin", origin, "", ""].map(ToOwned::to_owned));
        insta::allow_duplicates! {
            insta::assert_snapshot!(read.header("access-control-expose-headers"), @"etag, location, link, ratelimit, ratelimit-policy, retry-after, x-request-id, idempotent-replayed, www-authenticate, content-disposition");
        }
        // A page has to see why it was refused, too.
        let refused =
            system.anonymous().get(&path).header("origin", origin).await.refused(401, "missing-credentials");
        assert_eq!(told(&refused), ["origin", origin, "", ""].map(ToOwned::to_owned));
        assert!(refused.header("access-control-expose-headers").contains("www-authenticate"));
    }
    // What a page may not send is not in the answer, whatever it asks for; and cookies are never asked for.
    let curious = preflight(system, &path, "https://app.example.com")
        .another("access-control-request-headers", "cookie,x-evil");
    let answer = curious.unchecked().await.expect(204);
    let headers: Vec<(&str, &str)> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert!(
        !headers.iter().any(|(name, value)| value.contains('*') || name.ends_with("allow-credentials")),
        "{headers:?}"
    );
    assert!(!answer.header("access-control-allow-headers").contains("cookie"), "{headers:?}");
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
