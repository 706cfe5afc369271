//! Codes of a phone beside the password.

use bulkhead_domain::{Clock, RoleName, SystemClock};
use bulkhead_fixtures::auth::TotpSecret;
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;

use crate::support::{Answer, Caller, Options, System, Tenant, eventually, unique};

const PASSWORD: &str = "a longer sentence that nobody guesses";

/// The code that a phone shows, so many steps ahead of now.
fn code(secret: &str, ahead: i32) -> String {
    TotpSecret::typed(secret).unwrap().code_at(SystemClock.now() + TimeDelta::seconds(30) * ahead)
}

/// Sets up a second factor: its secret, and the recovery codes.
pub(crate) async fn set_up(caller: &Caller<'_>, password: &str) -> (String, Vec<String>) {
    let body = json!({ "current_password": password });
    let secret = caller.post("/v1/auth/second-factor", &body).await.expect(201).at("/secret");
    let confirmed = caller.post("/v1/auth/second-factor/confirm", &json!({ "code": code(&secret, 0) })).await;
    let codes = confirmed.expect(200).json()["recovery_codes"].clone();
    (secret, serde_json::from_value(codes).unwrap())
}

async fn log_in(system: &System, tenant: &Tenant<'_>, email: &str, password: &str) -> Answer {
    let login = json!({ "tenant": tenant.slug, "email": email, "password": password });
    system.anonymous().post("/v1/auth/login", &login).await
}

async fn second_step(system: &System, challenge: &str, code: &str) -> Answer {
    let body = json!({ "challenge": challenge, "code": code });
    system.anonymous().post("/v1/auth/login/second-factor", &body).await
}

/// Lets the codes of now be used again.
fn forget_steps(system: &System, tenant: &Tenant<'_>) {
    system.sql(&format!("UPDATE {}.second_factors SET last_step = 0", tenant.schema()));
}

#[tokio::test]
async fn a_person_sets_one_up_and_logs_in_with_it() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let none = person.caller.get("/v1/auth/second-factor").await;
    insta::assert_snapshot!(none.show(), @r#"
        200
        {
          "enabled": false,
          "enabled_at": null,
          "recovery_codes_left": 0,
          "required": false
        }
        "#);
    let wrong = json!({ "current_password": "not this one" });
    person.caller.post("/v1/auth/second-factor", &wrong).await.refused(422, "validation-failed");
    let body = json!({ "current_password": person.password });
    let begun = person.caller.post("/v1/auth/second-factor", &body).await.expect(201);
    let (secret, uri) = (begun.at("/secret"), begun.at("/otpauth_uri"));
    assert!(
        uri.starts_with("otpauth://totp/Bulkhead:") && uri.contains(&format!("secret={secret}&")),
        "{uri}"
    );
    // Until it is confirmed nothing has changed.
    log_in(system, &tenant, &person.email, &person.password).await.expect(200);
    let confirm = async |code: &str| {
        person.caller.post("/v1/auth/second-factor/confirm", &json!({ "code": code })).await
    };
    confirm("000000").await.refused(422, "validation-failed");
    let confirmed = confirm(&code(&secret, 0)).await.expect(200);
    let recovery: Vec<String> = serde_json::from_value(confirmed.json()["recovery_codes"].clone()).unwrap();
    assert_eq!(recovery.len(), 10);
    let now = person.caller.get("/v1/auth/second-factor").await.expect(200);
    assert_eq!((now.at("/enabled"), now.at("/recovery_codes_left")), ("true".into(), "10".into()));
    person.caller.post("/v1/auth/second-factor", &body).await.refused(409, "wrong-state");

    let first = log_in(system, &tenant, &person.email, &person.password).await;
    insta::assert_snapshot!(first.show(), @r#"
        403
        content-type: application/problem+json
        {
          "challenge": "[challenge]",
          "code": "second-factor-required",
          "detail": "The first step is done. Log in with the challenge and a code of your second factor.",
          "request_id": "req_…",
          "status": 403,
          "title": "Forbidden",
          "type": "urn:bulkhead:problem:second-factor-required"
        }
        "#);
    let challenge = first.at("/challenge");
    second_step(system, &challenge, "000000").await.refused(401, "second-factor-failed");
    // The code that has confirmed it is used.
    second_step(system, &challenge, &code(&secret, 0)).await.refused(401, "second-factor-failed");
    let tokens = second_step(system, &challenge, &code(&secret, 1)).await.expect(200);
    assert!(tokens.json().get("recovery_codes").is_none());
    let caller = system.anonymous().with_token(&tokens.at("/access_token"));
    caller.get("/v1/me").await.expect(200);
    let refresh = json!({ "refresh_token": tokens.at("/refresh_token") });
    system.anonymous().post("/v1/auth/refresh", &refresh).await.expect(200);
    // A wrong password is told as ever.
    log_in(system, &tenant, &person.email, "not this one").await.refused(401, "login-failed");

    let (dump, logs) = (system.dump(), system.logs());
    for secret in [&secret, &challenge].into_iter().chain(&recovery) {
        assert!(
            !dump.contains(secret.as_str()) && !logs.contains(secret.as_str()),
            "{secret} is stored or logged"
        );
    }
    let told = format!(
        "SELECT string_agg(action, ' ' ORDER BY id) FROM {}.audit_log WHERE actor = '{}'",
        tenant.schema(),
        person.id
    );
    assert_eq!(system.sql(&told), "login begin_second_factor login confirm_second_factor login");
}

#[tokio::test]
async fn each_code_and_each_recovery_code_is_used_by_one_of_many() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    for kind in 0..3 {
        let person = tenant.person(RoleName::READ_ONLY).await;
        let (secret, recovery) = set_up(&person.caller, &person.password).await;
        let (text, left) = match kind {
            0 => (code(&secret, 1), "10"),
            1 => (recovery[0].clone(), "9"),
            _ => (recovery[9].to_uppercase().replace('-', ""), "9"),
        };
        let challenge = log_in(system, &tenant, &person.email, &person.password).await.at("/challenge");
        let tries = (0..64).map(|_| second_step(system, &challenge, &text));
        let told: Vec<u16> = join_all(tries).await.iter().map(|answer| answer.status).collect();
        assert_eq!(told.iter().filter(|status| **status == 200).count(), 1, "{told:?}");
        assert!(told.iter().all(|status| [200, 401, 429, 503].contains(status)), "{told:?}");
        let seen = person.caller.get("/v1/auth/second-factor").await.expect(200);
        assert_eq!(seen.at("/recovery_codes_left"), left);
    }
}

#[tokio::test]
async fn a_thief_with_the_password_guesses_slowly_and_the_owner_is_not_shut_out_for_good() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let (secret, _) = set_up(&person.caller, &person.password).await;
    forget_steps(system, &tenant);
    let challenge = log_in(system, &tenant, &person.email, &person.password).await.at("/challenge");
    let thief = system.anonymous().elsewhere();
    let guess = async |text: &str| {
        let body = json!({ "challenge": challenge, "code": text });
        thief.post("/v1/auth/login/second-factor", &body).await.status
    };
    let mut told = Vec::new();
    while told.last() != Some(&429) && told.len() < 20 {
        told.push(guess(&format!("{:06}", told.len())).await);
    }
    let (last, before) = told.split_last().unwrap();
    assert!(*last == 429 && before.len() >= 10 && before.iter().all(|status| *status == 401), "{told:?}");
    // Passwords are counted apart, and a session goes on.
    log_in(system, &tenant, &person.email, &person.password).await.refused(403, "second-factor-required");
    person.caller.get("/v1/me").await.expect(200);
    // The wait passes: it is seconds at first.
    let done = eventually(
        async || second_step(system, &challenge, &code(&secret, 0)).await,
        |answer| answer.status == 200,
    )
    .await;
    done.expect(200);
}

/// A stolen token is no way around: codes that are shown with one are counted, too.
#[tokio::test]
async fn a_thief_with_a_token_guesses_no_code_fast() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    set_up(&person.caller, &person.password).await;
    let guess = async |text: String| {
        let body = json!({ "code": text });
        person.caller.post("/v1/auth/second-factor/recovery-codes", &body).await.status
    };
    let mut told = Vec::new();
    while told.last() != Some(&429) && told.len() < 20 {
        told.push(guess(format!("{:06}", told.len())).await);
    }
    let (last, before) = told.split_last().unwrap();
    assert!(*last == 429 && before.len() >= 10 && before.iter().all(|status| *status == 422), "{told:?}");
    person.caller.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn it_is_disabled_with_password_and_code_and_recovery_codes_are_renewed() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let caller = &person.caller;
    let renew = async |text: &str| {
        caller.post("/v1/auth/second-factor/recovery-codes", &json!({ "code": text })).await
    };
    renew("000000").await.refused(409, "wrong-state");
    let (secret, recovery) = set_up(caller, &person.password).await;
    renew(&recovery[0]).await.refused(422, "validation-failed");
    let renewed = renew(&code(&secret, 1)).await.expect(200);
    let renewed: Vec<String> = serde_json::from_value(renewed.json()["recovery_codes"].clone()).unwrap();
    assert!(renewed.iter().all(|code| !recovery.contains(code)));
    let disable = async |password: &str, text: &str| {
        let body = json!({ "current_password": password, "code": text });
        caller.post("/v1/auth/second-factor/disable", &body).await
    };
    disable("not this one", &renewed[0]).await.refused(422, "validation-failed");
    disable(&person.password, &recovery[1]).await.refused(422, "validation-failed");
    log_in(system, &tenant, &person.email, &person.password).await.refused(403, "second-factor-required");
    disable(&person.password, &renewed[0]).await.expect(204);
    log_in(system, &tenant, &person.email, &person.password).await.expect(200);
    disable(&person.password, &renewed[1]).await.refused(409, "wrong-state");
}

#[tokio::test]
async fn an_administrator_takes_it_away() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (admin, person) = (tenant.person(RoleName::ADMIN).await, tenant.person(RoleName::DEVELOPER).await);
    set_up(&person.caller, &person.password).await;
    set_up(&tenant.owner.caller, &tenant.owner.password).await;
    let path = |id: &str| format!("/v1/users/{id}/second-factor");
    person.caller.delete(&path(&person.id)).await.refused(403, "insufficient-permission");
    admin.caller.delete(&path(&tenant.owner.id)).await.refused(403, "role-not-grantable");
    admin.caller.delete(&path(&person.id)).await.expect(204);
    let gone = eventually(async || person.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    admin.caller.delete(&path(&person.id)).await.expect(204);
    log_in(system, &tenant, &person.email, &person.password).await.expect(200);
    let told = format!(
        "SELECT count(*) FROM {}.audit_log WHERE action = 'reset_user_second_factor'",
        tenant.schema()
    );
    assert_eq!(system.sql(&told), "2");
}

/// A challenge is worth nothing but a code, belongs to its password, and cannot be made up.
#[tokio::test]
async fn a_challenge_that_was_made_up_or_is_over_is_refused() {
    let system = System::shared().await;
    let (tenant, other) = (system.tenant().await, system.tenant().await);
    let person = tenant.person(RoleName::READ_ONLY).await;
    let (secret, recovery) = set_up(&person.caller, &person.password).await;
    let challenge = log_in(system, &tenant, &person.email, &person.password).await.at("/challenge");
    let first = second_step(system, "nonsense", "000000").await.refused(401, "second-factor-failed");
    let first = first.body_without_request_id();
    let swapped = |at: usize| {
        let mut bytes = challenge.clone().into_bytes();
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        String::from_utf8(bytes).unwrap()
    };
    for text in [
        String::new(),
        "bh_lc_".to_owned(),
        challenge[..challenge.len() - 1].to_owned(),
        format!("{challenge}A"),
        challenge.to_uppercase(),
        person.refresh_token.clone(),
        person.access_token.clone(),
        swapped(7),
        swapped(30),
        swapped(60),
        swapped(challenge.len() - 1),
    ] {
        let refused = second_step(system, &text, &recovery[0]).await.refused(401, "second-factor-failed");
        assert_eq!(refused.body_without_request_id(), first, "{text}");
        let enrol = json!({ "challenge": text });
        let refused = system.anonymous().post("/v1/auth/login/second-factor/enrolment", &enrol).await;
        assert_eq!(refused.refused(401, "second-factor-failed").body_without_request_id(), first, "{text}");
    }
    // It is no credential, and nobody who has a second factor gets another one with it.
    system.anonymous().with_token(&challenge).get("/v1/me").await.refused(401, "invalid-credentials");
    let enrol = json!({ "challenge": challenge });
    let refused = system.anonymous().post("/v1/auth/login/second-factor/enrolment", &enrol).await;
    refused.refused(401, "second-factor-failed");
    // Codes of another person do not fit.
    let neighbour = other.person(RoleName::READ_ONLY).await;
    let (theirs, codes) = set_up(&neighbour.caller, &neighbour.password).await;
    assert_ne!(theirs, secret);
    second_step(system, &challenge, &codes[0]).await.refused(401, "second-factor-failed");
    // A new password ends it.
    let body = json!({ "current_password": person.password, "new_password": PASSWORD });
    person.caller.post("/v1/auth/password", &body).await.expect(204);
    second_step(system, &challenge, &recovery[0]).await.refused(401, "second-factor-failed");
    let challenge = log_in(system, &tenant, &person.email, PASSWORD).await.at("/challenge");
    second_step(system, &challenge, &recovery[0]).await.expect(200);
    // So does the removal of the person.
    tenant.owner.caller.delete(&format!("/v1/users/{}", person.id)).await.expect(204);
    second_step(system, &challenge, &recovery[1]).await.refused(401, "second-factor-failed");
}

/// On a system where operators and owners must have one.
#[tokio::test]
async fn who_must_have_one_logs_in_to_set_it_up_and_not_otherwise() {
    let rule = ("BULKHEAD_SECOND_FACTOR_REQUIRED", "operators_and_owners".to_owned());
    let system = System::start("second_factor", Options { api: vec![rule], ..Options::default() }).await;
    let operator = system.operator_login("admin");
    let login = json!({ "email": operator.email, "password": operator.password });
    let refused = system.anonymous().post("/v1/auth/login", &login).await;
    let challenge = refused.refused(403, "second-factor-enrolment-required").at("/challenge");
    // Without having asked for a secret there is nothing to confirm.
    second_step(&system, &challenge, "000000").await.refused(401, "second-factor-failed");
    let enrol = json!({ "challenge": challenge });
    let enrolled =
        system.anonymous().post("/v1/auth/login/second-factor/enrolment", &enrol).await.expect(200);
    let secret = enrolled.at("/secret");
    let tokens = second_step(&system, &challenge, &code(&secret, 0)).await.expect(200);
    let recovery: Vec<String> = serde_json::from_value(tokens.json()["recovery_codes"].clone()).unwrap();
    assert_eq!(recovery.len(), 10);
    let caller = system.anonymous().with_token(&tokens.at("/access_token"));
    assert_eq!(caller.get("/v1/auth/second-factor").await.expect(200).at("/required"), "true");
    let disable = json!({ "current_password": operator.password, "code": recovery[0] });
    caller.post("/v1/auth/second-factor/disable", &disable).await.refused(409, "wrong-state");
    let refused = system.anonymous().post("/v1/auth/login", &login).await;
    let challenge = refused.refused(403, "second-factor-required").at("/challenge");
    second_step(&system, &challenge, &recovery[0]).await.expect(200);

    // An operator who was added, and whose phone is gone.
    let email = format!("{}@example.com", unique());
    let body = json!({ "email": email, "role": "support" });
    let added = caller.post("/v1/admin/operators", &body).await.expect(201);
    let body = json!({ "token": added.at("/token"), "new_password": PASSWORD });
    system.anonymous().post("/v1/auth/password/reset", &body).await.expect(204);
    let login = json!({ "email": email, "password": PASSWORD });
    let set_up = async || {
        let refused = system.anonymous().post("/v1/auth/login", &login).await;
        let challenge = refused.refused(403, "second-factor-enrolment-required").at("/challenge");
        let enrol = json!({ "challenge": challenge });
        let enrolled = system.anonymous().post("/v1/auth/login/second-factor/enrolment", &enrol).await;
        second_step(&system, &challenge, &code(&enrolled.expect(200).at("/secret"), 0)).await.expect(200)
    };
    let first = set_up().await;
    caller.delete(&format!("/v1/admin/operators/{}/second-factor", added.at("/id"))).await.expect(204);
    let refresh = json!({ "refresh_token": first.at("/refresh_token") });
    system.anonymous().post("/v1/auth/refresh", &refresh).await.refused(401, "invalid-credentials");
    set_up().await;
    let arguments = ["operator", "reset-second-factor", &email];
    let reset = crate::support::bulkhead(&arguments, &system.commands(), "");
    assert!(reset.success && reset.out.contains("no second factor any more"), "{reset:?}");
    let again = set_up().await;
    // A session of before it was required is not refreshed without.
    let uuid = added.at("/id").parse::<bulkhead_domain::OperatorId>().unwrap().uuid();
    system.sql(&format!("DELETE FROM platform.second_factors WHERE person_id = '{uuid}'"));
    let refresh = json!({ "refresh_token": again.at("/refresh_token") });
    system.anonymous().post("/v1/auth/refresh", &refresh).await.refused(401, "invalid-credentials");

    owners_must_have_one(&system, &caller).await;
}

/// A new tenant's owner has to set one up, and nobody else of the tenant.
async fn owners_must_have_one(system: &System, operator: &Caller<'_>) {
    let slug = format!("acme-{}", unique());
    let email = format!("{slug}@example.com");
    let body = json!({
        "slug": slug, "name": "Acme", "plan": "free", "owner": { "email": email, "password": PASSWORD },
    });
    let operation = operator.post("/v1/admin/tenants", &body).await.expect(202).header("location").to_owned();
    eventually(async || operator.get(&operation).await, |answer| answer.at("/done") == "true").await;
    let login = json!({ "tenant": slug, "email": email, "password": PASSWORD });
    let refused = system.anonymous().post("/v1/auth/login", &login).await;
    let challenge = refused.refused(403, "second-factor-enrolment-required").at("/challenge");
    let enrol = json!({ "challenge": challenge });
    let enrolled =
        system.anonymous().post("/v1/auth/login/second-factor/enrolment", &enrol).await.expect(200);
    let tokens = second_step(system, &challenge, &code(&enrolled.at("/secret"), 0)).await.expect(200);
    let owner = system.anonymous().with_token(&tokens.at("/access_token"));
    let person = json!({ "email": format!("b{email}"), "password": PASSWORD, "role": "admin" });
    owner.post("/v1/users", &person).await.expect(201);
    let login = json!({ "tenant": slug, "email": format!("b{email}"), "password": PASSWORD });
    system.anonymous().post("/v1/auth/login", &login).await.expect(200);
}
