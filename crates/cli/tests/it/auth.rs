//! Logging in, staying logged in, logging out.

use bulkhead_domain::RoleName;
use serde_json::{Value, json};

use crate::support::{System, bulkhead, eventually};

#[tokio::test]
async fn a_person_and_an_operator_log_in() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    let login =
        json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": tenant.owner.password });
    insta::assert_snapshot!(anybody.post("/v1/auth/login", &login).await.show(), @r#"
    200
    {
      "access_token": "[access token]",
      "expires_in": 600,
      "refresh_token": "[refresh token]",
      "token_type": "Bearer"
    }
    "#);
    let shouted = json!({
        "tenant": tenant.slug, "email": tenant.owner.email.to_uppercase(), "password": tenant.owner.password,
    });
    anybody.post("/v1/auth/login", &shouted).await.expect(200);

    let operator = system.operator_login(RoleName::BILLING);
    let login = json!({ "email": operator.email, "password": operator.password });
    let tokens = anybody.post("/v1/auth/login", &login).await;
    insta::assert_snapshot!(tokens.show(), @r#"
    200
    {
      "access_token": "[access token]",
      "expires_in": 600,
      "refresh_token": "[refresh token]",
      "token_type": "Bearer"
    }
    "#);
    let caller = anybody.with_token(&tokens.at("/access_token"));
    caller.get("/v1/admin/tenants?limit=1").await.expect(200);
    caller.get("/v1/users").await.refused(403, "insufficient-permission");
}

#[tokio::test]
async fn whatever_is_wrong_is_answered_alike() {
    let system = System::shared().await;
    let (tenant, other) = (system.tenant().await, system.tenant().await);
    let (slug, email, password) = (&tenant.slug, &tenant.owner.email, &tenant.owner.password);
    let anybody = system.anonymous();
    let operator = system.operator_login(RoleName::ADMIN);
    let rows = tenant.rows();
    let wrong = anybody
        .post("/v1/auth/login", &json!({ "tenant": slug, "email": email, "password": "not the password" }))
        .await;
    insta::assert_snapshot!(wrong.show(), @r#"
    401
    content-type: application/problem+json
    www-authenticate: Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
    {
      "code": "login-failed",
      "detail": "The tenant, the e-mail address or the password is wrong.",
      "request_id": "req_…",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:bulkhead:problem:login-failed"
    }
    "#);
    // All three of them fit into the largest body that is taken without a credential.
    let long = "x".repeat(5_000);
    for (tenant, email, password) in [
        (json!("no-such-tenant"), json!(email), json!(password)),
        (json!(other.slug), json!(email), json!(password)),
        (json!(slug), json!("nobody@example.com"), json!(password)),
        (json!(slug), json!(operator.email), json!(operator.password)),
        (Value::Null, json!(email), json!(password)),
        (Value::Null, json!(operator.email), json!(password)),
        (json!(""), json!(email), json!(password)),
        (json!("Not a slug'; --"), json!(email), json!(password)),
        (json!(tenant.id), json!(email), json!(password)),
        (json!(tenant.schema()), json!(email), json!(password)),
        (json!("platform"), json!(operator.email), json!(operator.password)),
        (json!(slug), json!(""), json!(password)),
        (json!(slug), json!("nul\u{0}@example.com"), json!(password)),
        (json!(slug), json!("' OR 1=1 --@x"), json!(password)),
        (json!(slug), json!(email), json!("")),
        (json!(slug), json!(email), json!("nul\u{0}character")),
        (json!(slug), json!(email), json!(password.to_uppercase())),
        (json!(slug), json!(email), json!(format!("{password} "))),
        (json!(slug), json!(email), json!(long)),
        (json!(long), json!(long), json!(long)),
    ] {
        let mut login = json!({ "tenant": tenant, "email": email, "password": password });
        if tenant.is_null() {
            // Operators leave it out.
            login.as_object_mut().unwrap().remove("tenant");
        }
        let answer = anybody.post("/v1/auth/login", &login).await;
        assert_eq!(answer.body_without_request_id(), wrong.body_without_request_id(), "{tenant} {email}");
    }
    // But that it was tried.
    let told: Vec<&str> = rows_but_attempts(&rows);
    assert_eq!(rows_but_attempts(&tenant.rows()), told);
}

/// What a tenant has, without what its audit log says of failed log-ins.
fn rows_but_attempts(rows: &str) -> Vec<&str> {
    rows.lines().filter(|row| !row.contains(",anonymous,login_failed,")).collect()
}

#[tokio::test]
async fn a_refresh_token_works_once_and_a_repetition_gets_the_same_successor() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    let refresh =
        async |token: &str| anybody.post("/v1/auth/refresh", &json!({ "refresh_token": token })).await;
    let first = tenant.owner.refresh_token.clone();

    let answer = refresh(&first).await;
    insta::assert_snapshot!(answer.show(), @r#"
    200
    {
      "access_token": "[access token]",
      "expires_in": 600,
      "refresh_token": "[refresh token]",
      "token_type": "Bearer"
    }
    "#);
    let second = answer.at("/refresh_token");
    assert_ne!(second, first);
    anybody.with_token(&answer.at("/access_token")).get("/v1/me").await.expect(200);
    // The answer was lost on its way: the client asks again at once.
    assert_eq!(refresh(&first).await.expect(200).at("/refresh_token"), second);

    let third = refresh(&second).await.expect(200).at("/refresh_token");
    assert!(third != second && third != first);
    // The first is out of turn by now, and no successor of it is given away.
    insta::assert_snapshot!(refresh(&first).await.show(), @r#"
    401
    content-type: application/problem+json
    www-authenticate: Bearer error="invalid_token", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
    {
      "code": "invalid-credentials",
      "detail": "The credential is not valid, has expired or was revoked.",
      "request_id": "req_…",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:bulkhead:problem:invalid-credentials"
    }
    "#);
    assert_eq!(tenant.count("sessions"), 1);
    // A token was used a second time, so another party may have it: the session has ended, two rotations later.
    refresh(&third).await.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn a_hash_of_former_days_is_renewed_by_the_next_login() {
    // Of "correct horse battery staple", by Argon2id with less memory and fewer passes than today.
    const FORMER: &str =
        "$argon2id$v=19$m=8192,t=1,p=1$kwqrrKO2INdid8nle4m+tg$1KX29kKkw8yyDg8V5dKlRhhB3n9gEC/w8m1UWbXxe64";
    const TODAY: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    let login = |password: &str| {
        let email = &tenant.owner.email;
        anybody
            .post("/v1/auth/login", &json!({ "tenant": tenant.slug, "email": email, "password": password }))
    };
    let stored = || system.sql(&format!("SELECT password_hash, version FROM {}.users", tenant.schema()));
    system.sql(&format!("UPDATE {}.users SET password_hash = '{FORMER}'", tenant.schema()));
    login("correct horse battery stable").await.refused(401, "login-failed");
    assert!(stored().starts_with(FORMER), "{}", stored());
    login("correct horse battery staple").await.expect(200);
    let renewed = stored();
    assert!(renewed.starts_with(TODAY) && renewed.ends_with("|1"), "{renewed}");
    login("correct horse battery staple").await.expect(200);
    assert_eq!(stored(), renewed);

    let email = "former@bulkhead.example";
    let create = ["operator", "create", email, "--role", "billing"];
    let made = bulkhead(&create, &system.commands(), "correct horse battery staple");
    assert!(made.success, "{made:?}");
    let row = format!("platform.operators WHERE email = '{email}'");
    system.sql(&format!("UPDATE platform.operators SET password_hash = '{FORMER}' WHERE email = '{email}'"));
    let body = json!({ "email": email, "password": "correct horse battery staple" });
    anybody.post("/v1/auth/login", &body).await.expect(200);
    let renewed = system.sql(&format!("SELECT password_hash FROM {row}"));
    assert!(renewed.starts_with(TODAY), "{renewed}");
}

#[tokio::test]
async fn an_operator_is_added_with_a_password_that_nobody_types() {
    let system = System::shared().await;
    let create = |email: &str, password: &str| {
        let mut settings = system.commands();
        settings.push(("BULKHEAD_OPERATOR_PASSWORD", password.to_owned()));
        // What is on standard input is not asked for, and behind `--` nothing is an option.
        bulkhead(&["operator", "create", "--role", "admin", "--", email], &settings, "something else\n")
    };
    let email = "first@bulkhead.example";
    let made = create(email, "correct horse battery staple");
    assert!(made.success && made.out.contains(email), "{made:?}");
    let body = json!({ "email": email, "password": "correct horse battery staple" });
    system.anonymous().post("/v1/auth/login", &body).await.expect(200);

    for (email, password, why) in [
        (email, "correct horse battery staple", "there is an operator first@bulkhead.example already"),
        ("second@bulkhead.example", "short", "the password"),
        ("--role", "correct horse battery staple", "invalid value"),
    ] {
        let refused = create(email, password);
        assert!(!refused.success && refused.err.contains(why), "{refused:?}");
        assert!(!refused.err.contains(password), "{refused:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_had_again_however_late_until_it_was_used() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    let refresh =
        async |token: &str| anybody.post("/v1/auth/refresh", &json!({ "refresh_token": token })).await;
    let first = &tenant.owner.refresh_token;
    let second = refresh(first).await.expect(200);
    let schema = tenant.schema();
    // The client was away for a day with the answer that it never got.
    system.sql(&format!("UPDATE {schema}.sessions SET rotated_at = rotated_at - interval '1 day'"));
    let again = refresh(first).await.expect(200);
    assert_eq!(again.at("/refresh_token"), second.at("/refresh_token"));

    let third = refresh(&second.at("/refresh_token")).await.expect(200);
    let caller = anybody.with_token(&third.at("/access_token"));
    caller.get("/v1/me").await.expect(200);
    refresh(first).await.refused(401, "invalid-credentials");
    refresh(&third.at("/refresh_token")).await.refused(401, "invalid-credentials");
    let gone = eventually(async || caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    let told =
        format!("SELECT actor, changes->>'because' FROM {schema}.audit_log WHERE action = 'end_session'");
    let because = "a refresh token was used again after its successor";
    assert_eq!(system.sql(&told), format!("{}|{because}", tenant.owner.id));
}

#[tokio::test]
async fn two_refreshes_at_once_get_the_same_successor() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let body = json!({ "refresh_token": tenant.owner.refresh_token });
    let refresh = || system.anonymous().post("/v1/auth/refresh", &body).into_future();
    let (one, two, three) = tokio::join!(refresh(), refresh(), refresh());
    let [one, two, three] = [one, two, three].map(|answer| answer.expect(200).at("/refresh_token"));
    assert!(one == two && two == three);
}

#[tokio::test]
async fn what_is_no_good_refresh_token_is_refused_alike() {
    let system = System::shared().await;
    let (tenant, other) = (system.tenant().await, system.tenant().await);
    let anybody = system.anonymous();
    let good = &tenant.owner.refresh_token;
    // bh_rt_t, two ids of 26 digits, an underscore, the secret
    let cut = |token: &str| (token[7..59].to_owned(), token[60..].to_owned());
    let ((locator, secret), (other_locator, other_secret)) = (cut(good), cut(&other.owner.refresh_token));
    let changed = if secret.starts_with('A') { "B" } else { "A" };
    let key = tenant.key(RoleName::OWNER).await.text;
    let rows = (tenant.rows(), other.rows());
    for bad in [
        String::new(),
        "bh_rt_".to_owned(),
        "nonsense".to_owned(),
        format!("{good} "),
        format!("bh_rt_t{locator}_{changed}{}", &secret[1..]),
        format!("bh_rt_t{locator}_{other_secret}"),
        format!("bh_rt_t{other_locator}_{secret}"),
        format!("bh_rt_o{}_{secret}", &locator[26..]),
        tenant.owner.access_token.clone(),
        key,
        "x".repeat(15_000),
    ] {
        let body = json!({ "refresh_token": bad });
        anybody.post("/v1/auth/refresh", &body).await.refused(401, "invalid-credentials");
        anybody.post("/v1/auth/logout", &body).await.expect(204);
    }
    assert_eq!((tenant.rows(), other.rows()), rows);
    anybody.post("/v1/auth/refresh", &json!({ "refresh_token": good })).await.expect(200);
}

#[tokio::test]
async fn logging_out_ends_the_session_and_no_other() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    let other = tenant.log_in(&tenant.owner.email, &tenant.owner.password).await;
    let body = json!({ "refresh_token": tenant.owner.refresh_token });
    let out = anybody.post("/v1/auth/logout", &body).await;
    insta::assert_snapshot!(out.show(), @"204");
    anybody.post("/v1/auth/logout", &body).await.expect(204);
    anybody.post("/v1/auth/refresh", &body).await.refused(401, "invalid-credentials");
    let gone = async || tenant.owner.caller.get("/v1/me").await;
    eventually(gone, |answer| answer.status != 200).await.refused(401, "invalid-credentials");
    other.caller.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn logging_out_with_a_token_that_was_exchanged_meanwhile_ends_the_session_too() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    let first = json!({ "refresh_token": tenant.owner.refresh_token });
    let thiefs = anybody.post("/v1/auth/refresh", &first).await.expect(200);
    let thiefs = json!({ "refresh_token": thiefs.at("/refresh_token") });
    let thiefs = anybody.post("/v1/auth/refresh", &thiefs).await.expect(200);
    anybody.post("/v1/auth/logout", &first).await.expect(204);
    let next = json!({ "refresh_token": thiefs.at("/refresh_token") });
    anybody.post("/v1/auth/refresh", &next).await.refused(401, "invalid-credentials");
    let thief = anybody.with_token(&thiefs.at("/access_token"));
    eventually(async || thief.get("/v1/me").await, |answer| answer.status != 200)
        .await
        .refused(401, "invalid-credentials");
}

#[tokio::test]
async fn an_operator_stays_logged_in_and_logs_out() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    let operator = system.operator_login(RoleName::SUPPORT);
    let login = json!({ "email": operator.email, "password": operator.password });
    let tokens = anybody.post("/v1/auth/login", &login).await.expect(200);
    let body = json!({ "refresh_token": tokens.at("/refresh_token") });
    let refreshed = anybody.post("/v1/auth/refresh", &body).await.expect(200);
    let caller = anybody.with_token(&refreshed.at("/access_token"));
    caller.get("/v1/admin/tenants?limit=1").await.expect(200);
    let body = json!({ "refresh_token": refreshed.at("/refresh_token") });
    anybody.post("/v1/auth/logout", &body).await.expect(204);
    let gone = async || caller.get("/v1/admin/tenants?limit=1").await;
    eventually(gone, |answer| answer.status != 200).await.refused(401, "invalid-credentials");
    anybody.post("/v1/auth/refresh", &body).await.refused(401, "invalid-credentials");
}
