//! Secrets are neither kept nor logged.
//!
//! The test uses secrets of every kind itself, in every operation of the document that takes or gives one. What other
//! tests of this process have used until then is looked for besides.

use aho_corasick::AhoCorasick;
use bulkhead_domain::RoleName;
use serde_json::json;

use crate::support::{System, Tenant, eventually, secrets::noting, unique};

/// A secret that was used, and what it is.
type Secrets = Vec<(&'static str, String)>;

/// Uses every kind of secret in every way that could leave a trace of it. Also returns its tenant, whose harmless texts
/// must be found where no secret may be.
async fn exercise(system: &System) -> (Secrets, Tenant<'_>) {
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let anybody = system.anonymous();
    let operator = system.operator_login(RoleName::ADMIN);
    let password = format!("person-{}", unique());
    let mut secrets: Secrets = vec![
        ("master key", system.master_key.clone()),
        ("operator's password", operator.password.clone()),
        ("owner's password", tenant.owner.password.clone()),
        ("owner's access token", tenant.owner.access_token.clone()),
        ("owner's refresh token", tenant.owner.refresh_token.clone()),
        ("person's password", password.clone()),
    ];

    let body = json!({ "email": "a@example.com", "password": password, "role": "developer" });
    for _ in 0..2 {
        owner.post("/v1/users", &body).header("idempotency-key", "once").await.expect(201);
    }
    owner.post("/v1/users", &body).await.refused(409, "already-taken");
    let wrong = json!({ "email": "nobody", "password": password, "role": "king" });
    owner.post("/v1/users", &wrong).await.refused(422, "validation-failed");
    let unknown =
        json!({ "email": "b@example.com", "password": password, "role": "admin", password.as_str(): 1 });
    owner.post("/v1/users", &unknown).await.refused(422, "invalid-body");
    let cut = format!("{{\"email\":\"c@example.com\",\"password\":\"{password}");
    owner.call("POST", "/v1/users").body("application/json", cut).await.refused(400, "malformed-json");

    let body = json!({ "name": "a program", "role": "admin" });
    let made = owner.post("/v1/api-keys", &body).header("idempotency-key", "once").await.expect(201);
    owner
        .post("/v1/api-keys", &body)
        .header("idempotency-key", "once")
        .await
        .refused(409, "already-completed");
    let key = made.at("/key");
    anybody.with_key(&key).get("/v1/me").await.expect(200);
    anybody.with_token(&key).get("/v1/users/nobody").await.refused(404, "not-found");
    // A key with a typing error is still most of a key.
    anybody.with_key(&format!("{key}x")).get("/v1/me").await.refused(401, "invalid-credentials");
    secrets.push(("API key", key.clone()));
    secrets.push(("API key's secret", key.rsplit('_').next().unwrap().to_owned()));

    let login =
        |password: &str| json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": password });
    let guess = format!("guess-{}", unique());
    anybody.post("/v1/auth/login", &login(&guess)).await.refused(401, "login-failed");
    secrets.push(("wrong password", guess));
    let tokens = anybody.post("/v1/auth/login", &login(&tenant.owner.password)).await.expect(200);
    let refreshed =
        anybody.post("/v1/auth/refresh", &json!({ "refresh_token": tokens.at("/refresh_token") })).await;
    for tokens in [tokens, refreshed.expect(200)] {
        secrets.push(("access token", tokens.at("/access_token")));
        secrets.push(("refresh token", tokens.at("/refresh_token")));
        anybody.with_token(&format!("{}x", tokens.at("/access_token"))).get("/v1/me").await.expect(401);
    }
    // A refresh token where an access token belongs, and a credential where an id belongs.
    let refresh_token = &tenant.owner.refresh_token;
    anybody.with_token(refresh_token).get("/v1/me").await.refused(401, "invalid-credentials");
    anybody.post("/v1/auth/logout", &json!({ "refresh_token": refresh_token })).await.expect(204);

    let order_password = format!("order-{}", unique());
    let slug = format!("acme-{}", unique());
    let first = json!({ "email": "owner@example.com", "password": order_password });
    let order = json!({ "slug": slug, "name": "Acme", "plan": "pro", "owner": first });
    let operator = system.operator().await;
    let once = unique();
    let ask = || operator.post("/v1/admin/tenants", &order).header("idempotency-key", &once);
    let accepted = ask().await.expect(202);
    ask().await.expect(202);
    operator.post("/v1/admin/tenants", &order).await.refused(409, "already-taken");
    let follow = async || operator.get(accepted.header("location")).await.expect(200);
    eventually(follow, |answer| answer.at("/done") == "true").await;
    secrets.push(("first owner's password", order_password));
    secrets.push(("operator's access token", operator.authorization().replace("Bearer ", "")));
    (secrets, tenant)
}

#[tokio::test]
async fn no_secret_is_found_in_tables_redis_or_logs() {
    let system = System::shared().await;
    let ((secrets, tenant), used) = noting(exercise(system)).await;
    let logins: Vec<_> = system.migrator().into_iter().filter(|(name, _)| name.ends_with("_URL")).collect();
    let passwords =
        logins.iter().filter_map(|(_, url)| Some(url.split_once('@')?.0.rsplit_once(':')?.1.to_owned()));
    let secrets: Secrets =
        secrets.into_iter().chain(passwords.map(|text| ("login's password", text))).collect();
    let given = system.secrets.lock().unwrap().clone();
    let secrets: Secrets =
        secrets.into_iter().chain(given.into_iter().map(|text| ("secret of a test", text))).collect();

    // Passwords of three kinds, both tokens back and forth, keys.
    let documented = system.contract.places_of_secrets();
    assert!(documented.len() >= 9, "{documented:?}");
    for place in documented {
        let of_place = used.get(&place);
        let is_sought = |used: &String| secrets.iter().any(|(_, secret)| secret == used);
        assert!(of_place.is_some_and(|all| all.iter().any(is_sought)), "no secret was used in {place:?}");
    }
    for (what, secret) in &secrets {
        assert!(secret.len() > 16, "the {what} is too short to be looked for");
    }
    let needles = AhoCorasick::new(secrets.iter().map(|(_, secret)| secret)).unwrap();

    // A request right now, so that there is a bucket to be seen.
    let again = tenant.log_in(&tenant.owner.email, &tenant.owner.password).await;
    again.caller.get("/v1/me").await.expect(200);
    // Each with a harmless text that has gone the way of the secrets.
    let places = [
        ("tables", system.dump(None), tenant.owner.email.as_str()),
        ("Redis", system.redis_dump(), "bh:"),
        ("logs of the API and the worker", system.logs(), tenant.id.as_str()),
        ("log of PostgreSQL", system.postgres_log(), tenant.owner.email.as_str()),
    ];
    for (place, text, harmless) in &places {
        assert!(text.contains(harmless), "not even {harmless} is in the {place}");
        if let Some(found) = needles.find(text) {
            let (what, secret) = &secrets[found.pattern().as_usize()];
            panic!("the {what} is in the {place}: {}", line_with(text, secret));
        }
    }
}

fn line_with<'a>(text: &'a str, secret: &str) -> &'a str {
    text.lines().find(|line| line.contains(secret)).unwrap_or_default()
}
