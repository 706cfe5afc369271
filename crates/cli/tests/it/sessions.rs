//! Where people are logged in, and how they get another password.

use bulkhead_domain::RoleName;
use futures::future::join_all;
use serde_json::json;

use crate::support::{System, eventually};

const NEW: &str = "a longer sentence that nobody guesses";

#[tokio::test]
async fn a_person_sees_and_ends_their_own_sessions_and_nobody_elses() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let elsewhere = tenant.log_in(&person.email, &person.password).await;
    let mine = person.caller.get("/v1/auth/sessions").await;
    let hidden = |shown: String, at| shown.replace(&mine.at(&format!("/data/{at}/address")), "[address]");
    insta::assert_snapshot!((0..2).fold(mine.show(), hidden), @r#"
    200
    {
      "data": [
        {
          "address": "[address]",
          "created_at": "[time]",
          "current": true,
          "expires_at": "[time]",
          "id": "ses_…",
          "last_used_at": "[time]",
          "user_agent": null
        },
        {
          "address": "[address]",
          "created_at": "[time]",
          "current": false,
          "expires_at": "[time]",
          "id": "ses_…",
          "last_used_at": "[time]",
          "user_agent": null
        }
      ],
      "next_cursor": null
    }
    "#);
    let ids: Vec<String> = (0..2).map(|at| mine.at(&format!("/data/{at}/id"))).collect();
    // The page of one leads to the other.
    let page = person.caller.get("/v1/auth/sessions?limit=1").await.expect(200);
    let rest =
        person.caller.get(&format!("/v1/auth/sessions?cursor={}", page.at("/next_cursor"))).await.expect(200);
    assert_eq!((page.at("/data/0/id"), rest.at("/data/0/id")), (ids[0].clone(), ids[1].clone()));

    let path = |id: &str| format!("/v1/auth/sessions/{id}");
    let others = tenant.owner.caller.get("/v1/auth/sessions").await.expect(200).at("/data/0/id");
    person.caller.delete(&path(&others)).await.refused(404, "not-found");
    person.caller.delete(&path(&ids[1])).await.expect(204);
    person.caller.delete(&path(&ids[1])).await.refused(404, "not-found");
    let gone = eventually(async || elsewhere.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    let token = json!({ "refresh_token": elsewhere.refresh_token });
    system.anonymous().post("/v1/auth/refresh", &token).await.refused(401, "invalid-credentials");
    person.caller.get("/v1/me").await.expect(200);
    tenant.owner.caller.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn a_person_logs_out_everywhere_but_here_and_then_here() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let elsewhere = [
        tenant.log_in(&person.email, &person.password).await,
        tenant.log_in(&person.email, &person.password).await,
    ];
    person.caller.delete("/v1/auth/sessions").await.expect(204);
    for one in &elsewhere {
        let gone = eventually(async || one.caller.get("/v1/me").await, |answer| answer.status != 200).await;
        gone.refused(401, "invalid-credentials");
    }
    let left = person.caller.get("/v1/auth/sessions").await.expect(200);
    assert_eq!(
        (left.json()["data"].as_array().unwrap().len(), left.at("/data/0/current")),
        (1, "true".into())
    );
    person.caller.delete("/v1/auth/sessions").await.expect(204);
    person.caller.delete("/v1/auth/sessions?all=perhaps").await.refused(400, "invalid-parameter");
    person.caller.delete("/v1/auth/sessions?all=true").await.expect(204);
    let gone = eventually(async || person.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    tenant.owner.caller.get("/v1/me").await.expect(200);
    let told = format!(
        "SELECT string_agg(changes->>'sessions', ' ' ORDER BY id) FROM {}.audit_log WHERE action = 'end_sessions'",
        tenant.schema()
    );
    assert_eq!(system.sql(&told), "2 1", "a log-out of nothing is no entry");
}

#[tokio::test]
async fn an_operator_has_sessions_and_a_password_too() {
    let system = System::shared().await;
    let operator = system.operator().await;
    let sessions = operator.get("/v1/auth/sessions").await.expect(200);
    let current =
        sessions.json()["data"].as_array().unwrap().iter().filter(|one| one["current"] == true).count();
    assert_eq!(current, 1);
    let other = system.operator_with("support").await;
    let others = other.get("/v1/auth/sessions").await.expect(200).at("/data/0/id");
    operator.delete(&format!("/v1/auth/sessions/{others}")).await.refused(404, "not-found");
    other.get("/v1/me").await.expect(200);
    let body = json!({ "current_password": "not this one", "new_password": NEW });
    let refused = operator.post("/v1/auth/password", &body).await;
    refused.refused(422, "validation-failed");
}

#[tokio::test]
async fn an_api_key_has_neither() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::OWNER).await;
    key.caller.get("/v1/auth/sessions").await.refused(403, "person-required");
    key.caller.delete("/v1/auth/sessions").await.refused(403, "person-required");
    let body = json!({ "current_password": "not this one", "new_password": NEW });
    key.caller.post("/v1/auth/password", &body).await.refused(403, "person-required");
}

#[tokio::test]
async fn a_person_who_knows_their_password_changes_it() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let elsewhere = tenant.log_in(&person.email, &person.password).await;
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        person.caller.post("/v1/auth/password", &body).await
    };
    insta::assert_snapshot!(change("not my password", NEW).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "is not your password",
          "pointer": "/current_password"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    change(&person.password, &person.password).await.refused(422, "validation-failed");
    change(&person.password, "short").await.refused(422, "validation-failed");
    elsewhere.caller.get("/v1/me").await.expect(200);

    change(&person.password, NEW).await.expect(204);
    let gone = eventually(async || elsewhere.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    // The session that has changed it goes on, with its refresh token too.
    person.caller.get("/v1/me").await.expect(200);
    let token = json!({ "refresh_token": person.refresh_token });
    system.anonymous().post("/v1/auth/refresh", &token).await.expect(200);
    let login =
        |password: &str| json!({ "tenant": tenant.slug, "email": person.email, "password": password });
    let anybody = system.anonymous();
    anybody.post("/v1/auth/login", &login(&person.password)).await.refused(401, "login-failed");
    anybody.post("/v1/auth/login", &login(NEW)).await.expect(200);
}

#[tokio::test]
async fn a_stolen_token_does_not_guess_the_password_fast() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let guess = async |guess: String| {
        let body = json!({ "current_password": guess, "new_password": NEW });
        person.caller.post("/v1/auth/password", &body).await
    };
    let mut told = Vec::new();
    // The wait after a failure doubles, so that it comes however slow the machine is.
    while told.last() != Some(&429) && told.len() < 20 {
        told.push(guess(format!("guess number {}", told.len())).await.status);
    }
    let (last, before) = told.split_last().unwrap();
    assert!(*last == 429 && before.len() >= 10 && before.iter().all(|status| *status == 422), "{told:?}");
    // That keeps nobody from logging in.
    tenant.log_in(&person.email, &person.password).await;
}

#[tokio::test]
async fn an_administrator_hands_out_a_token_that_sets_a_password_once() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let admin = tenant.person(RoleName::ADMIN).await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let path = format!("/v1/users/{}/password-reset", person.id);
    let made = admin.caller.post_nothing(&path).await;
    insta::assert_snapshot!(made.show(), @r#"
    201
    location: /v1/users/usr_…
    {
      "expires_at": "[time]",
      "token": "[reset token]"
    }
    "#);
    let first = made.at("/token");
    // Another one takes its place.
    let token = admin.caller.post_nothing(&path).await.expect(201).at("/token");
    let anybody = system.anonymous();
    let reset = async |token: &str| {
        anybody.post("/v1/auth/password/reset", &json!({ "token": token, "new_password": NEW })).await
    };
    let no_good = reset(&first).await;
    insta::assert_snapshot!(no_good.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "is not valid: it was used, replaced or has expired, or never was one",
          "pointer": "/token"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    let told = |answer: &bulkhead_testkit::Answer| (answer.status, answer.json()["errors"].clone());
    for bad in
        ["", "bh_pr_", &person.refresh_token, &token[..token.len() - 1], &token.replace("_pr_", "_rt_")]
    {
        assert_eq!(told(&reset(bad).await), told(&no_good), "{bad}");
    }
    person.caller.get("/v1/me").await.expect(200);

    reset(&token).await.expect(204);
    assert_eq!(told(&reset(&token).await), told(&no_good));
    let gone = eventually(async || person.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    let refresh = json!({ "refresh_token": person.refresh_token });
    anybody.post("/v1/auth/refresh", &refresh).await.refused(401, "invalid-credentials");
    tenant.log_in(&person.email, NEW).await;
    let told = format!(
        "SELECT string_agg(actor || ' ' || action, ', ' ORDER BY id) FROM {}.audit_log WHERE action LIKE '%password'",
        tenant.schema()
    );
    let told = system.sql(&told);
    assert_eq!(
        told,
        format!("{0} reset_user_password, {0} reset_user_password, {1} reset_password", admin.id, person.id)
    );
}

#[tokio::test]
async fn of_many_uses_of_one_token_at_once_one_is_taken() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let path = format!("/v1/users/{}/password-reset", person.id);
    let token = tenant.owner.caller.post_nothing(&path).await.expect(201).at("/token");
    let anybody = system.anonymous();
    let uses = (0..16).map(|number| {
        let body = json!({ "token": token, "new_password": format!("the password number {number}") });
        let (anybody, body) = (anybody.clone(), body);
        async move { anybody.post("/v1/auth/password/reset", &body).await.status }
    });
    let statuses = join_all(uses).await;
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 422, 429, 503].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn a_token_is_made_for_nobody_above_and_ends_with_a_new_role() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let admin = tenant.person(RoleName::ADMIN).await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let path = |id: &str| format!("/v1/users/{id}/password-reset");
    admin.caller.post_nothing(&path(&tenant.owner.id)).await.refused(403, "role-not-grantable");
    person.caller.post_nothing(&path(&admin.id)).await.refused(403, "insufficient-permission");
    let other = system.tenant().await;
    admin.caller.post_nothing(&path(&other.owner.id)).await.refused(404, "not-found");

    let token = admin.caller.post_nothing(&path(&person.id)).await.expect(201).at("/token");
    let role = json!({ "role": "owner" });
    tenant.owner.caller.patch(&format!("/v1/users/{}", person.id), &role).await.expect(200);
    let body = json!({ "token": token, "new_password": NEW });
    system.anonymous().post("/v1/auth/password/reset", &body).await.refused(422, "validation-failed");
    // An expired one is no good either.
    let token = tenant.owner.caller.post_nothing(&path(&admin.id)).await.expect(201).at("/token");
    system.sql(&format!("UPDATE {}.one_time_tokens SET expires_at = now()", tenant.schema()));
    let body = json!({ "token": token, "new_password": NEW });
    system.anonymous().post("/v1/auth/password/reset", &body).await.refused(422, "validation-failed");
}

/// Who has made a token may do so no more, or what roles hold has changed: it is good no more.
#[tokio::test]
async fn a_token_ends_with_the_rights_of_its_maker() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let path = format!("/v1/users/{}/password-reset", person.id);
    let made_by = async |caller: &bulkhead_testkit::Caller<'_>| {
        caller.post_nothing(&path).await.expect(201).at("/token")
    };
    let refused = async |token: String| {
        let body = json!({ "token": token, "new_password": NEW });
        system.anonymous().post("/v1/auth/password/reset", &body).await.refused(422, "validation-failed");
    };

    let admin = tenant.person(RoleName::ADMIN).await;
    let token = made_by(&admin.caller).await;
    owner.delete(&format!("/v1/users/{}", admin.id)).await.expect(204);
    refused(token).await;

    let admin = tenant.person(RoleName::ADMIN).await;
    let token = made_by(&admin.caller).await;
    let role = json!({ "role": "read_only" });
    owner.patch(&format!("/v1/users/{}", admin.id), &role).await.expect(200);
    refused(token).await;

    let key = tenant.key(RoleName::ADMIN).await;
    let token = made_by(&key.caller).await;
    owner.delete(&format!("/v1/api-keys/{}", key.id)).await.expect(204);
    refused(token).await;

    let role = json!({ "name": "clerk", "permissions": ["read:users"] });
    owner.post("/v1/roles", &role).await.expect(201);
    let token = made_by(owner).await;
    let more = json!({ "permissions": ["read:users", "read:usage"] });
    owner.patch("/v1/roles/clerk", &more).await.expect(200);
    refused(token).await;

    let token = made_by(owner).await;
    let body = json!({ "token": token, "new_password": NEW });
    system.anonymous().post("/v1/auth/password/reset", &body).await.expect(204);
}

/// An administrator sees and ends the sessions of people whose role they may take away, and of no other.
#[tokio::test]
async fn an_administrator_sees_and_ends_the_sessions_of_people_below() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let admin = tenant.person(RoleName::ADMIN).await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let elsewhere = tenant.log_in(&person.email, &person.password).await;
    let path = |id: &str| format!("/v1/users/{id}/sessions");
    let list = admin.caller.get(&path(&person.id)).await.expect(200);
    let ids: Vec<String> = (0..2).map(|at| list.at(&format!("/data/{at}/id"))).collect();
    assert_eq!(
        (list.json()["data"].as_array().unwrap().len(), list.at("/data/1/current")),
        (2, "false".into())
    );
    let own = admin.caller.get(&path(&admin.id)).await.expect(200);
    assert_eq!(own.at("/data/0/current"), "true");

    let one = |id: &str, session: &str| format!("/v1/users/{id}/sessions/{session}");
    let of_owner = tenant.owner.caller.get(&path(&tenant.owner.id)).await.expect(200).at("/data/0/id");
    for (caller, id, session, code) in [
        (&admin, &tenant.owner.id, &of_owner, "role-not-grantable"),
        (&person, &person.id, &ids[0], "insufficient-permission"),
    ] {
        caller.caller.get(&path(id)).await.refused(403, code);
        caller.caller.delete(&path(id)).await.refused(403, code);
        caller.caller.delete(&one(id, session)).await.refused(403, code);
    }
    // A session is named with its person, and neither with one of another tenant.
    let other = system.tenant().await;
    admin.caller.delete(&one(&person.id, &of_owner)).await.refused(404, "not-found");
    admin.caller.delete(&one(&person.id, "ses_nothing")).await.refused(404, "not-found");
    admin.caller.get(&path(&other.owner.id)).await.refused(404, "not-found");
    admin.caller.delete(&path(&other.owner.id)).await.refused(404, "not-found");

    admin.caller.delete(&one(&person.id, &ids[1])).await.expect(204);
    admin.caller.delete(&one(&person.id, &ids[1])).await.refused(404, "not-found");
    let gone = eventually(async || elsewhere.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    person.caller.get("/v1/me").await.expect(200);
    admin.caller.delete(&path(&person.id)).await.expect(204);
    let gone = eventually(async || person.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    let token = json!({ "refresh_token": person.refresh_token });
    system.anonymous().post("/v1/auth/refresh", &token).await.refused(401, "invalid-credentials");
    // Their password is still theirs.
    tenant.log_in(&person.email, &person.password).await;
    let told = format!(
        "SELECT string_agg(action || ' ' || target, ', ' ORDER BY id) FROM {}.audit_log WHERE action LIKE 'end_user%'",
        tenant.schema()
    );
    let expected = format!("end_user_session {}, end_user_sessions {}", ids[1], person.id);
    assert_eq!(system.sql(&told), expected);
}
