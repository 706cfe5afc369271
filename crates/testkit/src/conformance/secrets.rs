//! Secrets are neither kept nor logged.
//!
//! The test uses secrets of every kind itself, in every operation of the document that takes or gives one. What other
//! tests of this process have used until then is looked for besides.

use aho_corasick::AhoCorasick;
use serde_json::json;

use super::aim::query;
use crate::{App, Tenant, eventually, redact::SLUG, secrets::noting, unique};

/// A secret that was used, and what it is.
type Secret = (&'static str, String);

/// Uses every kind of secret in every way that could leave a trace of it. Also returns its tenant, whose harmless texts
/// must be found where no secret may be.
async fn exercise(app: &App) -> (Vec<Secret>, Tenant<'_>) {
    let tenant = app.tenant().await;
    let mut secrets: Vec<Secret> = vec![
        ("master key", app.master_key.clone()),
        ("operator's password", app.operator_login("admin").password.clone()),
        ("owner's password", tenant.owner.password.clone()),
        ("owner's access token", tenant.owner.access_token.clone()),
        ("owner's refresh token", tenant.owner.refresh_token.clone()),
    ];
    exercise_users(&tenant, &mut secrets).await;
    exercise_keys(&tenant, &mut secrets).await;
    exercise_passwords(&tenant, &mut secrets).await;
    exercise_logins(&tenant, &mut secrets).await;
    exercise_sign_ups(app, &mut secrets).await;
    (secrets, tenant)
}

async fn exercise_users(tenant: &Tenant<'_>, secrets: &mut Vec<Secret>) {
    let owner = &tenant.owner.caller;
    let password = format!("person-{}", unique());
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
    secrets.push(("person's password", password));
}

/// A new password by a token, and one by the person.
async fn exercise_passwords(tenant: &Tenant<'_>, secrets: &mut Vec<Secret>) {
    let person = tenant.person("developer").await;
    let path = format!("/v1/users/{}/password-reset", person.id);
    let make = || tenant.owner.caller.post_nothing(&path).header("idempotency-key", "once");
    let token = make().await.expect(201).at("/token");
    make().await.refused(409, "already-completed");
    let (reset, changed) = (format!("reset-{}", unique()), format!("changed-{}", unique()));
    let anybody = tenant.app.anonymous();
    let with = |token: &str| json!({ "token": token, "new_password": reset });
    anybody
        .post("/v1/auth/password/reset", &with(&format!("{token}x")))
        .await
        .refused(422, "validation-failed");
    anybody.post("/v1/auth/password/reset", &with(&token)).await.expect(204);
    let person = tenant.log_in(&person.email, &reset).await;
    let guess = json!({ "current_password": changed, "new_password": reset });
    person.caller.post("/v1/auth/password", &guess).await.refused(422, "validation-failed");
    let change = json!({ "current_password": reset, "new_password": changed });
    for _ in 0..2 {
        let call = person.caller.post("/v1/auth/password", &change).header("idempotency-key", "once");
        call.await.expect(204);
    }
    secrets.extend([("reset token", token), ("reset password", reset), ("changed password", changed)]);
}

async fn exercise_keys(tenant: &Tenant<'_>, secrets: &mut Vec<Secret>) {
    let (owner, anybody) = (&tenant.owner.caller, tenant.app.anonymous());
    let body = json!({ "name": "a program", "role": "admin" });
    let make = || owner.post("/v1/api-keys", &body).header("idempotency-key", "once");
    let key = make().await.expect(201).at("/key");
    make().await.refused(409, "already-completed");
    anybody.with_key(&key).get("/v1/me").await.expect(200);
    anybody.with_token(&key).get("/v1/users/nobody").await.refused(404, "not-found");
    // A key with a typing error is still most of a key.
    anybody.with_key(&format!("{key}x")).get("/v1/me").await.refused(401, "invalid-credentials");
    secrets.push(("API key's secret", key.rsplit('_').next().unwrap_or_default().to_owned()));
    secrets.push(("API key", key));
}

async fn exercise_logins(tenant: &Tenant<'_>, secrets: &mut Vec<Secret>) {
    let anybody = tenant.app.anonymous();
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
}

async fn exercise_sign_ups(app: &App, secrets: &mut Vec<Secret>) {
    let (password, slug) = (format!("order-{}", unique()), format!("{SLUG}{}", unique()));
    let first = json!({ "email": "owner@example.com", "password": password });
    let order = json!({ "slug": slug, "name": "Acme", "plan": "pro", "owner": first });
    let operator = app.operator().await;
    let once = unique();
    let ask = || operator.post("/v1/admin/tenants", &order).header("idempotency-key", &once);
    let accepted = ask().await.expect(202);
    ask().await.expect(202);
    operator.post("/v1/admin/tenants", &order).await.refused(409, "already-taken");
    let path = format!("/v1/operations/{}", accepted.at("/id"));
    let follow = async || operator.get(&path).await.expect(200);
    eventually(follow, |answer| answer.at("/done") == "true").await;
    secrets.push(("first owner's password", password));
    secrets.push(("operator's access token", operator.authorization().replace("Bearer ", "")));
}

/// Uses the operations of the application's own that take or give a secret.
async fn exercise_others(app: &App, tenant: &Tenant<'_>) {
    let places = app.contract.places_of_secrets(&app.fixtures);
    // The owner has logged out.
    let owner = tenant.log_in(&tenant.owner.email, &tenant.owner.password).await;
    let mut tenant = tenant.clone();
    tenant.owner = owner;
    let operator = app.operator().await;
    for operation in app.contract.those(|_| true) {
        if !places.iter().any(|(id, _)| *id == operation.id) {
            continue;
        }
        let caller = match operation {
            public if public.is_public() => app.anonymous(),
            theirs if theirs.is_for_operators() => operator.clone(),
            _ => tenant.owner.caller.clone(),
        };
        let made = if operation.takes_id() {
            app.fixtures.of(operation).make(&tenant).await.id
        } else {
            String::new()
        };
        let path = operation.path_of(&made) + &query(app, operation, "");
        let call = caller.call(&operation.method, &path);
        if operation.takes_body() {
            call.json(&tenant.body(operation).await).await;
        } else {
            call.await;
        }
    }
}

/// No password, token or key that was sent or given, by any operation, is in a table, in Redis, in a log or in a metric.
pub async fn no_secret_is_found_in_tables_redis_logs_or_metrics(app: &App) {
    let work = async {
        let (secrets, tenant) = exercise(app).await;
        exercise_others(app, &tenant).await;
        (secrets, tenant)
    };
    let ((mut secrets, tenant), used) = noting(work).await;
    secrets.extend(app.login_passwords().map(|text| ("login's password", text)));
    let given = app.secrets.lock().unwrap().clone();
    secrets.extend(given.into_iter().map(|text| ("secret of a test", text)));

    // Passwords of three kinds, both tokens back and forth, keys, and what the application has besides.
    let documented = app.contract.places_of_secrets(&app.fixtures);
    assert!(documented.len() >= 9, "{documented:?}");
    // The kit has no identity provider at which somebody could log in.
    let is_elsewhere = |id: &str| {
        app.operations()
            .iter()
            .any(|operation| operation.id == id && operation.is_public() && operation.takes_id())
    };
    for place in documented {
        if is_elsewhere(&place.0) {
            continue;
        }
        let of_place = used.get(&place);
        let is_sought = |used: &String| secrets.iter().any(|(_, secret)| secret == used);
        let is_used = of_place.is_some_and(|all| all.iter().any(is_sought));
        assert!(
            is_used,
            "no secret of 17 to 999 letters, digits, blanks, `-`, `_` or `.` was used in {place:?}"
        );
    }
    for (what, secret) in &secrets {
        assert!(secret.len() > 16, "the {what} is too short to be looked for");
    }

    // A request right now, so that there is a bucket to be seen.
    let again = tenant.log_in(&tenant.owner.email, &tenant.owner.password).await;
    again.caller.get("/v1/me").await.expect(200);
    // Each with a harmless text that has gone the way of the secrets.
    let metrics = app.metrics().await + &app.worker_metrics().await;
    for (place, text, harmless) in [
        ("tables", app.dump(), tenant.owner.email.as_str()),
        ("Redis", app.redis_dump(), "bh:"),
        ("logs of the API and the worker", app.logs(), tenant.id.as_str()),
        ("log of PostgreSQL", app.postgres_log(), tenant.owner.email.as_str()),
        ("metrics", metrics, "create_user"),
    ] {
        assert!(text.contains(harmless), "not even {harmless} is in the {place}");
        assert_eq!(find(&secrets, &text), None, "in the {place}");
    }
}

/// The first secret that is in a text, with its line.
fn find(secrets: &[(&'static str, String)], text: &str) -> Option<String> {
    let needles = AhoCorasick::new(secrets.iter().map(|(_, secret)| secret)).unwrap();
    let found = needles.find(text)?;
    let (what, secret) = &secrets[found.pattern().as_usize()];
    let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
    Some(format!("the {what}: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_stands_and_its_line_is_told() {
        let secrets =
            [("password", "secret-0123456789".to_owned()), ("key", "bh_test_0123456789".to_owned())];
        assert_eq!(find(&secrets, "all is well\nsecret-012345678"), None);
        let found = find(&secrets, "one\ntwo \"bh_test_0123456789\" three\nfour");
        assert_eq!(found.as_deref(), Some("the key: two \"bh_test_0123456789\" three"));
    }
}
