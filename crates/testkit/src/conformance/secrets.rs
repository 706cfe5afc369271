//! Secrets are neither kept nor logged.
//!
//! The test uses secrets of every kind itself, in every operation of the document that takes or gives one. What other
//! tests of this process have used until then is looked for besides.

use aho_corasick::AhoCorasick;
use serde_json::json;

use super::aim::query;
use crate::{App, Tenant, built_in::in_a_day, eventually, redact::SLUG, secrets::noting, unique};

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
    exercise_operators(app, &tenant, &mut secrets).await;
    exercise_passwords(&tenant, &mut secrets).await;
    exercise_newcomers(&tenant, &mut secrets).await;
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

/// People who are invited, who register, and who sign a tenant up.
async fn exercise_newcomers(tenant: &Tenant<'_>, secrets: &mut Vec<Secret>) {
    let (owner, anybody) = (&tenant.owner.caller, tenant.app.anonymous());
    let passwords = ["invited", "registered", "signed-up"].map(|what| format!("{what}-{}", unique()));
    let [invited, registered, signed_up] = passwords.clone();
    let body = json!({ "email": "invited@example.com", "role": "developer", "mail": false });
    let make = || owner.post("/v1/invitations", &body).header("idempotency-key", "once");
    let made = make().await.expect(201);
    make().await.refused(409, "already-completed");
    let again = format!("/v1/invitations/{}/resend", made.at("/id"));
    let token = owner.post(&again, &json!({ "mail": false })).await.expect(200).at("/token");
    let with = |token: &str, password: &str| json!({ "token": token, "password": password });
    anybody
        .post("/v1/auth/invitations/accept", &with(&made.at("/token"), &invited))
        .await
        .refused(422, "validation-failed");
    anybody.post("/v1/auth/invitations/accept", &with(&token, &invited)).await.expect(201);
    secrets.extend([("invitation token", made.at("/token")), ("invitation token", token)]);

    let open = json!({ "enabled": true, "role": "read_only" });
    owner.call("PUT", "/v1/settings/registration").json(&open).await.expect(200);
    let email = format!("{}@example.com", unique());
    let body = json!({ "tenant": tenant.slug, "email": email, "password": registered });
    anybody.post("/v1/auth/register", &body).await.expect(202);
    let token = tenant.app.mail_to(&email, 1).token().unwrap();
    anybody.post("/v1/auth/register/confirm", &with(&token, &registered)).await.expect(201);
    secrets.push(("registration token", token));
    anybody
        .post("/v1/auth/password/forgot", &json!({ "tenant": tenant.slug, "email": email }))
        .await
        .expect(202);
    secrets.push(("mailed reset token", tenant.app.mail_to(&email, 2).token().unwrap()));

    let (slug, email) = (format!("{SLUG}{}", unique()), format!("{}@example.com", unique()));
    let body = json!({ "slug": slug, "name": "Acme", "email": email, "password": signed_up });
    anybody.post("/v1/tenants", &body).await.expect(202);
    let token = tenant.app.mail_to(&email, 1).token().unwrap();
    anybody.post("/v1/tenants/confirm", &with(&token, &signed_up)).await.expect(202);
    secrets.push(("sign-up token", token));
    secrets.extend(passwords.map(|password| ("newcomer's password", password)));
}

async fn exercise_keys(tenant: &Tenant<'_>, secrets: &mut Vec<Secret>) {
    let (owner, anybody) = (&tenant.owner.caller, tenant.app.anonymous());
    let body = json!({ "name": "a program", "role": "admin" });
    let make = || owner.post("/v1/api-keys", &body).header("idempotency-key", "once");
    let made = make().await.expect(201);
    let key = made.at("/key");
    make().await.refused(409, "already-completed");
    anybody.with_key(&key).get("/v1/me").await.expect(200);
    anybody.with_token(&key).get("/v1/users/nobody").await.refused(404, "not-found");
    // A key with a typing error is still most of a key.
    anybody.with_key(&format!("{key}x")).get("/v1/me").await.refused(401, "invalid-credentials");
    let rotate = format!("/v1/api-keys/{}/rotate", made.at("/id"));
    let rotated = owner.post(&rotate, &json!({})).await.expect(201).at("/key");
    anybody.post("/v1/auth/keys/leaked", &json!({ "key": key })).await.expect(204);
    secrets.push(("rotated API key", rotated));
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

/// What operators are given and what a second factor is made of, as far as that goes without a code of a phone.
async fn exercise_operators(app: &App, tenant: &Tenant<'_>, secrets: &mut Vec<Secret>) {
    let operator = app.operator().await;
    let invited = json!({ "email": format!("{}@example.com", unique()), "role": "support" });
    let added = operator.post("/v1/admin/operators", &invited).await.expect(201);
    let again = operator.post_nothing(&format!("/v1/admin/operators/{}/invitation", added.at("/id"))).await;
    let key = json!({ "name": "a program", "scopes": ["read:tenants"], "expires_at": in_a_day(app) });
    let key = operator.post("/v1/admin/api-keys", &key).await.expect(201).at("/key");
    app.anonymous().with_key(&key).get("/v1/me").await.expect(200);
    let act = json!({ "user": tenant.owner.id, "reason": "To look for secrets" });
    let acting =
        operator.post(&format!("/v1/admin/tenants/{}/impersonate", tenant.id), &act).await.expect(200);
    app.anonymous().with_token(&acting.at("/access_token")).get("/v1/me").await.expect(200);
    let password = json!({ "current_password": tenant.owner.password });
    let factor = tenant.owner.caller.post("/v1/auth/second-factor", &password).await.expect(201);
    secrets.extend([
        ("operator's token", added.at("/token")),
        ("operator's second token", again.expect(201).at("/token")),
        ("operator's key", key),
        ("token of who acts as a person", acting.at("/access_token")),
        ("secret of a second factor", factor.at("/secret")),
    ]);
}

/// Operations that take a code of a phone, or follow from one: the kit has no phone. That their secrets are kept nowhere is for
/// Bulkhead's own tests to say.
const WITH_CODES: [&str; 3] = ["login_with_code", "enrol_to_log_in", "disable_second_factor"];

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
    let by_phone = |(operation, _): &(String, String)| WITH_CODES.contains(&operation.as_str());
    // The kit has no identity provider at which somebody could log in.
    let is_elsewhere = |id: &str| {
        app.operations()
            .iter()
            .any(|operation| operation.id == id && operation.is_public() && operation.takes_id())
    };
    for place in documented.into_iter().filter(|place| !by_phone(place) && !is_elsewhere(&place.0)) {
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
