//! What the service says about itself.

use std::process::{Command, Stdio};

use bulkhead_domain::RoleName;
use serde_json::{Value, json};

use crate::support::{System, bulkhead, eventually, unique};

#[tokio::test]
async fn information_and_health() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    insta::assert_snapshot!(anybody.get("/").await.show(), @r#"
    200
    {
      "docs": "/docs",
      "name": "bulkhead",
      "openapi": "/openapi.json",
      "reference": "/redoc",
      "version": "0.1.0"
    }
    "#);
    insta::assert_snapshot!(anybody.get("/health").await.show(), @r#"
    200
    {
      "status": "ready"
    }
    "#);
    insta::assert_snapshot!(anybody.get("/livez").await.show(), @r#"
    200
    {
      "status": "alive"
    }
    "#);
    insta::assert_snapshot!(anybody.get("/readyz").await.show(), @r#"
    200
    {
      "status": "ready"
    }
    "#);
    // What it lacks is told on the port that is not for the public.
    let told = eventually(async || system.readiness().await, |told| told["redis"] == true).await;
    assert_eq!(told, json!({ "status": "ready", "database": true, "redis": true }));
}

#[tokio::test]
async fn keys_and_issuer() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    let keys = anybody.get("/.well-known/jwks.json").await.expect(200);
    let keys = keys.json()["keys"].as_array().unwrap().clone();
    // One that signs, and soon one that is published ahead.
    assert!((1..=2).contains(&keys.len()), "{keys:?}");
    for key in keys {
        let mut members: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        // The public half and nothing else.
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    }
    insta::assert_snapshot!(anybody.get("/.well-known/openid-configuration").await.show(), @r#"
    200
    {
      "grant_types_supported": [],
      "id_token_signing_alg_values_supported": [
        "RS256"
      ],
      "issuer": "https://api.example.com",
      "jwks_uri": "https://api.example.com/.well-known/jwks.json",
      "response_types_supported": [
        "token"
      ],
      "subject_types_supported": [
        "public"
      ]
    }
    "#);
    let oauth = anybody.get("/.well-known/oauth-authorization-server").await.expect(200);
    assert_eq!(oauth.json(), anybody.get("/.well-known/openid-configuration").await.json());
}

/// A client that knows nothing but an operation's address finds what it needs, step by step.
#[tokio::test]
async fn a_client_that_is_refused_finds_the_way_to_the_keys() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    let below = |url: &str| url.strip_prefix("https://api.example.com").unwrap().to_owned();
    let refused = anybody.get("/v1/me").await.refused(401, "missing-credentials");
    insta::assert_snapshot!(refused.header("www-authenticate"), @r#"Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource""#);
    let challenge = refused.header("www-authenticate");
    let metadata = challenge.split_once("resource_metadata=\"").unwrap().1.trim_end_matches('"');
    let metadata = anybody.get(&below(metadata)).await.expect(200);
    assert_eq!(metadata.header("cache-control"), "public, max-age=300");
    let mut told = metadata.json();
    // Permissions of extensions are among them.
    let scopes = told["scopes_supported"].take();
    for scope in ["read:users", "write:tenants", "read:resources"] {
        assert!(scopes.as_array().unwrap().contains(&json!(scope)), "{scopes}");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&told).unwrap(), @r#"
    {
      "authorization_servers": [
        "https://api.example.com"
      ],
      "bearer_methods_supported": [
        "header"
      ],
      "resource": "https://api.example.com",
      "resource_documentation": "https://api.example.com/docs",
      "resource_name": "bulkhead",
      "scopes_supported": null
    }
    "#);
    let issuer = metadata.at("/authorization_servers/0");
    let openid = anybody.get(&below(&format!("{issuer}/.well-known/openid-configuration"))).await.expect(200);
    assert_eq!(openid.at("/issuer"), issuer);
    anybody.get(&below(&openid.at("/jwks_uri"))).await.expect(200);
    anybody.get(&below(&metadata.at("/resource_documentation"))).unchecked().await.expect(308);

    let wrong = anybody.with_token("a.b.c").get("/v1/me").await.refused(401, "invalid-credentials");
    insta::assert_snapshot!(wrong.header("www-authenticate"), @r#"Bearer error="invalid_token", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource""#);
    // What is lacking is one of the scopes that the metadata lists.
    let tenant = system.tenant().await;
    let reader = tenant.person(RoleName::READ_ONLY).await.caller;
    let lacking = reader
        .post(
            "/v1/users",
            &json!({ "email": "a@example.com", "password": "correct horse", "role": "read_only" }),
        )
        .await
        .refused(403, "insufficient-permission");
    insta::assert_snapshot!(lacking.header("www-authenticate"), @r#"Bearer error="insufficient_scope", scope="write:users", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource""#);
    assert!(scopes.as_array().unwrap().contains(&json!("write:users")));
    // What a token cannot help with is no challenge.
    let admin = tenant.person(RoleName::ADMIN).await.caller;
    let owner = json!({ "email": "a@example.com", "password": "correct horse", "role": "owner" });
    let refused = admin.post("/v1/users", &owner).await.refused(403, "role-not-grantable");
    assert_eq!(refused.header("www-authenticate"), "");
    assert_eq!(anybody.get("/v1/nothing").await.header("www-authenticate"), "");
}

#[tokio::test]
async fn the_document_is_served_printed_and_shown() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    let served = anybody.get("/openapi.json").unchecked().await.expect(200).json();
    let printed = bulkhead(&["openapi"], &[], "");
    assert!(printed.success, "{printed:?}");
    assert_eq!(serde_json::from_str::<Value>(&printed.out).unwrap(), served);

    let settings = bulkhead(&["settings", "--markdown"], &[], "");
    assert!(settings.success, "{settings:?}");
    assert!(
        settings.out.contains("| `BULKHEAD_PORT` | `8080` | Port the API listens on. |\n"),
        "{settings:?}"
    );

    // A reader that takes only the beginning makes no command fail.
    for arguments in [&["openapi"][..], &["doctor"]] {
        let (variables, program) = (system.migrator(), env!("CARGO_BIN_EXE_bulkhead"));
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    }

    let moved = anybody.get("/docs").unchecked().await.expect(308);
    assert_eq!(moved.header("location"), "/docs/");
    for (page, shows) in [("/docs/", "swagger-ui"), ("/redoc", "redoc")] {
        let answer = anybody.get(page).unchecked().await.expect(200);
        assert!(answer.body.contains(shows), "{page}");
        assert!(!answer.header("x-request-id").is_empty(), "{page}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{page}: {policy}");
        assert!(!policy.contains("http"), "{page}: {policy}");
    }
    // As whole as they were compiled in, and read only.
    for (file, least) in [("/docs/swagger-ui-bundle.js", 1_000_000), ("/docs/swagger-initializer.js", 100)] {
        let answer = anybody.get(file).unchecked().await.expect(200);
        assert!(answer.body.len() > least && answer.header("content-type").contains("javascript"), "{file}");
        let asked = anybody.call("HEAD", file).unchecked().await.expect(200);
        assert_eq!(asked.header("content-length"), answer.body.len().to_string());
    }
    anybody.get("/docs/nothing.js").unchecked().await.refused(404, "unknown-route");
    let refused = anybody.call("POST", "/docs/").unchecked().await.refused(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), "GET, HEAD");
    // The page asks no other host whether the document is valid.
    let config = anybody.get("/docs/swagger-initializer.js").unchecked().await.expect(200);
    assert!(config.body.contains("\"validatorUrl\": \"none\""), "{}", config.body);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    insta::assert_snapshot!(anybody.get("/v1/nothing").await.show(), @r#"
    404
    content-type: application/problem+json
    {
      "code": "unknown-route",
      "detail": "There is no such path. The API is described at /openapi.json.",
      "request_id": "req_…",
      "status": 404,
      "title": "Not Found",
      "type": "urn:bulkhead:problem:unknown-route"
    }
    "#);
    insta::assert_snapshot!(anybody.call("PUT", "/v1/resources").await.show(), @r#"
    405
    content-type: application/problem+json
    allow: GET, HEAD, POST
    {
      "code": "method-not-allowed",
      "detail": "This path does not take that method.",
      "request_id": "req_…",
      "status": 405,
      "title": "Method Not Allowed",
      "type": "urn:bulkhead:problem:method-not-allowed"
    }
    "#);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
        anybody.call(method, "/v1").await.refused(404, "unknown-route");
        anybody.call(method, "/v1/users/").await.refused(404, "unknown-route");
        anybody.call(method, "/V1/me").await.refused(404, "unknown-route");
        // Machines ask for these elsewhere.
        anybody.call(method, "/metrics").await.refused(404, "unknown-route");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
        anybody.call(method, "/v1/me").await.refused(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn whatever_can_be_read_can_be_asked_about_without_its_body() {
    let system = System::shared().await;
    let caller = system.tenant().await.owner.caller;
    for path in ["/livez", "/v1/me", "/v1/resources"] {
        let read = caller.get(path).await.expect(200);
        let asked = caller.call("HEAD", path).unchecked().await.expect(200);
        assert_eq!(asked.body, "");
        for header in ["content-type", "content-length", "ratelimit-policy"] {
            assert_eq!(asked.header(header), read.header(header), "{header} of {path}");
        }
    }
    let pages =
        ["/openapi.json", "/docs", "/docs/", "/docs/swagger-ui.css", "/redoc", "/redoc/redoc.standalone.js"];
    for path in pages {
        let read = caller.get(path).unchecked().await;
        let asked = caller.call("HEAD", path).unchecked().await;
        assert!((200..309).contains(&read.status), "{path}: {}", read.status);
        assert_eq!((asked.status, asked.body.as_str()), (read.status, ""), "{path}");
        for header in
            ["content-type", "content-length", "location", "content-security-policy", "cache-control"]
        {
            assert_eq!(asked.header(header), read.header(header), "{header} of {path}");
        }
    }
    for path in ["/metrics", "/readyz", "/livez"] {
        let url = format!("http://127.0.0.1:{}{path}", system.metrics_port);
        let asked = reqwest::Client::new().head(&url).send().await.unwrap();
        assert_eq!((asked.status().as_u16(), asked.text().await.unwrap().as_str()), (200, ""), "{path}");
    }
    assert_eq!(caller.call("HEAD", "/v1/auth/login").unchecked().await.status, 405);
    assert_eq!(system.anonymous().call("HEAD", "/v1/me").unchecked().await.status, 401);
}

#[tokio::test]
async fn a_request_keeps_its_callers_id_when_it_is_harmless() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    let kept = anybody.get("/livez").header("x-request-id", "from-the_caller.1:2").await;
    assert_eq!(kept.header("x-request-id"), "from-the_caller.1:2");
    for bad in ["", "with blank", "\u{e4}", "<script>", &"a".repeat(65)] {
        let answer = anybody.get("/livez").header("x-request-id", bad).await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{bad:?}");
        // The other name of it is as good, and is looked at where this one is no use.
        let both =
            anybody.get("/livez").header("x-request-id", bad).header("x-correlation-id", "other-1").await;
        assert_eq!(both.header("x-request-id"), "other-1", "{bad:?}");
        let alone = anybody.get("/livez").header("x-correlation-id", bad).await;
        assert!(alone.header("x-request-id").starts_with("req_"), "{bad:?}");
    }
    let alone = anybody.get("/v1/me").header("X-Correlation-ID", "from-a.proxy:7").await;
    assert_eq!((alone.header("x-request-id"), alone.header("x-correlation-id")), ("from-a.proxy:7", ""));
    assert_eq!(alone.at("/request_id"), "from-a.proxy:7");
    let both =
        anybody.get("/livez").header("x-correlation-id", "theirs").header("x-request-id", "ours").await;
    assert_eq!(both.header("x-request-id"), "ours");
}

#[tokio::test]
async fn the_log_tells_who_has_asked_and_from_where() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::READ_ONLY).await;
    let operator = system.operator().await;
    for (caller, path, principal) in [
        (&tenant.owner.caller, "/v1/me", Some(tenant.owner.id.as_str())),
        (&key.caller, "/v1/me", Some(&key.id)),
        (&operator, "/v1/me", Some(&operator.get("/v1/me").await.at("/subject"))),
        // A refused request is what a person looks for in the log.
        (&key.caller, "/v1/users", Some(&key.id)),
        (&system.anonymous(), "/v1/me", None),
        (&system.anonymous().with_key("bh_test_guess"), "/v1/me", None),
        (&system.anonymous(), "/livez", None),
    ] {
        let id = format!("who-{}", unique());
        let address = format!("{}:40001", caller.address);
        caller.get(path).header("x-request-id", &id).header("x-forwarded-for", address).await;
        let logs = system.logs();
        let lines =
            logs.lines().filter(|line| line.contains(&id) && line.contains("\"message\":\"request\""));
        let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let [line] = lines.as_slice() else { panic!("{path}: {lines:?}") };
        assert_eq!(line["span"]["client.address"], caller.address.as_str(), "{line}");
        assert_eq!(line["span"]["principal.id"].as_str(), principal, "{line}");
    }
}

#[tokio::test]
async fn metrics_name_no_tenant() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    tenant.owner.caller.get("/v1/me").await.expect(200);
    let metrics = system.metrics().await;
    assert!(metrics.contains("http_server_request_duration_seconds"), "{metrics}");
    for told in [&tenant.id, &tenant.slug, &tenant.id[4..].to_owned()] {
        assert!(!metrics.contains(told), "{told}");
    }
}
