//! The secrets of keys: rotation, disabling, and reports of keys that were found where none belong.

use bulkhead_domain::{Clock, RoleName, SystemClock, TenantId, api_key};
use serde_json::json;

use crate::support::{Answer, Call, System, eventually};

/// Sends so many requests at once; what they were answered. One that is told that too many are in flight is sent again.
async fn at_once<'a>(number: usize, call: impl Fn() -> Call<'a>) -> Vec<Answer> {
    let send = async || eventually(async || call().await, |answer| answer.status != 429).await;
    futures::future::join_all((0..number).map(|_| send())).await
}

async fn refused_soon(call: impl AsyncFn() -> Answer) {
    eventually(call, |answer| answer.status == 401).await.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn a_rotated_key_keeps_its_id_and_both_secrets_work_for_a_while() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let key = tenant.key(RoleName::DEVELOPER).await;
    let path = format!("/v1/api-keys/{}", key.id);
    let rotate = format!("{path}/rotate");
    key.caller.get("/v1/me").await.expect(200);
    let rotated = owner.post(&rotate, &json!({})).await;
    insta::assert_snapshot!(rotated.show(), @r#"
        201
        location: /v1/api-keys/key_…
        {
          "allowed_addresses": null,
          "created_at": "[time]",
          "created_by": "usr_…",
          "disabled_at": null,
          "expires_at": null,
          "granted_by": "usr_…",
          "hint": "[hint]",
          "id": "key_…",
          "key": "[api key]",
          "last_used_at": null,
          "leaked_at": null,
          "name": "a program",
          "overlap_until": "[time]",
          "requests_per_minute": null,
          "revoked_at": null,
          "role": "developer",
          "rotated_at": "[time]",
          "scopes": null
        }
        "#);
    let (new, old) = (system.anonymous().with_key(&rotated.at("/key")), &key.caller);
    for caller in [&new, old] {
        assert_eq!(caller.get("/v1/me").await.expect(200).at("/subject"), key.id);
    }
    // Within the overlap another rotation would end a secret that may not be in use yet.
    owner.post(&rotate, &json!({ "overlap_seconds": 60 })).await.refused(409, "wrong-state");
    // In an emergency all that were before end at once.
    let newest = owner.post(&rotate, &json!({ "overlap_seconds": 0 })).await.expect(201);
    system.anonymous().with_key(&newest.at("/key")).get("/v1/me").await.expect(200);
    for caller in [&new, old] {
        refused_soon(async || caller.get("/v1/me").await).await;
    }
    for bad in [-1, 30 * 86_400 + 1] {
        owner.post(&rotate, &json!({ "overlap_seconds": bad })).await.refused(422, "validation-failed");
    }
    // One's own limits hold: the new secret is the key's, with all that it may do.
    let developer = tenant.person(RoleName::DEVELOPER).await.caller;
    let strong = tenant.key(RoleName::ADMIN).await;
    let strong = format!("/v1/api-keys/{}/rotate", strong.id);
    developer.post(&strong, &json!({})).await.refused(403, "role-not-grantable");
    owner.delete(&path).await.expect(204);
    owner.post(&rotate, &json!({ "overlap_seconds": 0 })).await.refused(409, "wrong-state");
    // No secret is anywhere in the tenant's rows.
    let rows = tenant.rows();
    for key in [&rotated, &newest] {
        let key = key.at("/key");
        assert!(!rows.contains(key.rsplit('_').next().unwrap()));
    }
}

#[tokio::test]
async fn of_64_rotations_at_once_one_is_made() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::DEVELOPER).await;
    let rotate = format!("/v1/api-keys/{}/rotate", key.id);
    let answers = at_once(64, || tenant.owner.caller.post(&rotate, &json!({}))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1);
    for answer in refused {
        answer.refused(409, "wrong-state");
    }
    system.anonymous().with_key(&made[0].at("/key")).get("/v1/me").await.expect(200);
    key.caller.get("/v1/me").await.expect(200);
    // Each of these ends all others, and each is asked for: the last one is in force.
    let emergencies =
        at_once(16, || tenant.owner.caller.post(&rotate, &json!({ "overlap_seconds": 0 }))).await;
    let keys: Vec<String> = emergencies.into_iter().map(|answer| answer.expect(201).at("/key")).collect();
    let good = async || {
        let mut good = 0;
        for key in &keys {
            good += usize::from(system.anonymous().with_key(key).get("/v1/me").await.status == 200);
        }
        good
    };
    eventually(good, |good| *good == 1).await;
}

#[tokio::test]
async fn a_disabled_key_works_again_once_it_is_enabled() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let key = tenant.key(RoleName::DEVELOPER).await;
    let path = format!("/v1/api-keys/{}", key.id);
    for _ in 0..2 {
        key.caller.get("/v1/me").await.expect(200);
        let disabled = owner.post_nothing(&format!("{path}/disable")).await.expect(200);
        assert_ne!(disabled.at("/disabled_at"), "null");
        refused_soon(async || key.caller.get("/v1/me").await).await;
        owner.post_nothing(&format!("{path}/disable")).await.expect(200);
        let enabled = owner.post_nothing(&format!("{path}/enable")).await.expect(200);
        assert_eq!(enabled.at("/disabled_at"), "null");
        owner.post_nothing(&format!("{path}/enable")).await.refused(409, "wrong-state");
        eventually(async || key.caller.get("/v1/me").await, |answer| answer.status == 200).await;
    }
    let actions = system.sql(&format!(
        "SELECT string_agg(action, ' ' ORDER BY id) FROM {}.audit_log WHERE target = '{}'",
        tenant.schema(),
        key.id
    ));
    assert_eq!(actions, "create_api_key disable_api_key enable_api_key disable_api_key enable_api_key");
    let developer = tenant.person(RoleName::DEVELOPER).await.caller;
    let strong = tenant.key(RoleName::ADMIN).await;
    for verb in ["disable", "enable"] {
        let path = format!("/v1/api-keys/{}/{verb}", strong.id);
        developer.post_nothing(&path).await.refused(403, "role-not-grantable");
        owner
            .post_nothing(&format!("/v1/api-keys/key_01jd3e2x6m7k9v4q8t5b2n0c1c/{verb}"))
            .await
            .refused(404, "not-found");
    }
    // What was revoked stays so, whether it was disabled before or not.
    let disabled = format!("/v1/api-keys/{}", tenant.key(RoleName::DEVELOPER).await.id);
    owner.post_nothing(&format!("{disabled}/disable")).await.expect(200);
    for path in [&path, &disabled] {
        owner.delete(path).await.expect(204);
        for verb in ["disable", "enable"] {
            owner.post_nothing(&format!("{path}/{verb}")).await.refused(409, "wrong-state");
        }
    }
    assert_ne!(owner.get(&disabled).await.expect(200).at("/disabled_at"), "null");
}

#[tokio::test]
async fn anyone_who_presents_a_key_ends_it() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let key = tenant.key(RoleName::DEVELOPER).await;
    let below =
        key.caller.post("/v1/api-keys", &json!({ "name": "b", "role": "developer" })).await.expect(201);
    let child = system.anonymous().with_key(&below.at("/key"));
    // The node remembers both when it is told.
    child.get("/v1/me").await.expect(200);
    let report = |key: &str| system.anonymous().post("/v1/auth/keys/leaked", &json!({ "key": key }));
    insta::assert_snapshot!(report(&key.text).await.show(), @"204");
    refused_soon(async || key.caller.get("/v1/me").await).await;
    refused_soon(async || child.get("/v1/me").await).await;
    let shown = owner.get(&format!("/v1/api-keys/{}", key.id)).await.expect(200);
    assert!(
        shown.at("/leaked_at") != "null" && shown.at("/leaked_at") == shown.at("/revoked_at"),
        "{}",
        shown.show()
    );
    owner.post_nothing(&format!("/v1/api-keys/{}/enable", key.id)).await.refused(409, "wrong-state");
    let audited = system.sql(&format!(
        "SELECT actor, changes FROM {}.audit_log WHERE action = 'report_leaked_key'",
        tenant.schema()
    ));
    assert!(audited.starts_with(&key.id) && audited.contains("\"keys_disabled\": 1"), "{audited}");
    assert!(!audited.contains(key.text.rsplit('_').next().unwrap()));

    // A disabled key, too: nobody is to enable it.
    let disabled = tenant.key(RoleName::DEVELOPER).await;
    owner.post_nothing(&format!("/v1/api-keys/{}/disable", disabled.id)).await.expect(200);
    report(&disabled.text).await.expect(204);
    assert_ne!(owner.get(&format!("/v1/api-keys/{}", disabled.id)).await.at("/leaked_at"), "null");

    // What was rotated out ends alone.
    let rotated = tenant.key(RoleName::DEVELOPER).await;
    let path = format!("/v1/api-keys/{}", rotated.id);
    let new = owner.post(&format!("{path}/rotate"), &json!({})).await.expect(201).at("/key");
    report(&rotated.text).await.expect(204);
    refused_soon(async || rotated.caller.get("/v1/me").await).await;
    system.anonymous().with_key(&new).get("/v1/me").await.expect(200);
    // It is over now, and ends nothing more.
    report(&rotated.text).await.expect(204);
    assert_eq!(owner.get(&path).await.expect(200).at("/revoked_at"), "null");
    let reports = system.sql(&format!(
        "SELECT count(*) FROM {}.audit_log WHERE action = 'report_leaked_key' AND target = '{}'",
        tenant.schema(),
        rotated.id
    ));
    assert_eq!(reports, "1");
}

#[tokio::test]
async fn a_report_is_answered_alike_whatever_the_text_is() {
    let system = System::shared().await;
    let (tenant, other) = (system.tenant().await, system.tenant().await);
    let good = tenant.key(RoleName::DEVELOPER).await;
    let mut source = 7_u8;
    let mut invent = |tenant: TenantId, id| {
        let next = || {
            source = source.wrapping_mul(37).wrapping_add(11);
            source
        };
        api_key::ApiKey::issue("test", tenant, id, next).reveal().to_owned()
    };
    let (ours, theirs) = (tenant.id.parse().unwrap(), other.id.parse().unwrap());
    let id = good.id.parse().unwrap();
    let mut typo = good.text.clone();
    typo.replace_range(60..61, if &typo[60..61] == "a" { "b" } else { "a" });
    let texts = [
        invent(ours, id),
        invent(theirs, id),
        invent(TenantId::mint(SystemClock.now()), id),
        typo,
        "bh_".to_owned(),
        "x".to_owned(),
        tenant.owner.refresh_token.clone(),
        tenant.owner.access_token[..256].to_owned(),
        good.text[..good.text.len() - 1].to_owned(),
        format!("{} ", good.text),
    ];
    let good_answer = system.anonymous().post("/v1/auth/keys/leaked", &json!({ "key": good.text })).await;
    for text in &texts {
        let answer =
            system.anonymous().elsewhere().post("/v1/auth/keys/leaked", &json!({ "key": text })).await;
        assert_eq!((answer.status, answer.body.as_str()), (good_answer.status, ""), "{text}");
    }
    assert_eq!(
        system.sql(&format!("SELECT count(*) FROM {}.api_keys WHERE leaked_at IS NOT NULL", tenant.schema())),
        "1"
    );
    let anonymous = system.anonymous();
    for bad in ["", &"x".repeat(257)] {
        anonymous
            .post("/v1/auth/keys/leaked", &json!({ "key": bad }))
            .await
            .refused(422, "validation-failed");
    }
    anonymous.post("/v1/auth/keys/leaked", &json!({ "key": 7 })).await.refused(422, "invalid-body");
    // Guesses are charged, and one who has guessed too often learns nothing of a good key either.
    let guesser = system.anonymous().elsewhere();
    let another = tenant.key(RoleName::DEVELOPER).await;
    let guess = async || guesser.post("/v1/auth/keys/leaked", &json!({ "key": texts[0] })).await;
    eventually(guess, |answer| answer.status == 429).await.refused(429, "rate-limited");
    guesser.post("/v1/auth/keys/leaked", &json!({ "key": another.text })).await.refused(429, "rate-limited");
    another.caller.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn of_64_reports_at_once_one_is_audited() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::DEVELOPER).await;
    let anonymous = system.anonymous();
    for answer in at_once(64, || anonymous.post("/v1/auth/keys/leaked", &json!({ "key": key.text }))).await {
        answer.expect(204);
    }
    let audited =
        format!("SELECT count(*) FROM {}.audit_log WHERE action = 'report_leaked_key'", tenant.schema());
    assert_eq!(system.sql(&audited), "1");
    refused_soon(async || key.caller.get("/v1/me").await).await;
}
