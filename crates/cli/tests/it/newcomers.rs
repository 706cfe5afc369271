//! How people come in: by an invitation, by registering, and with a tenant of their own; and how they get a new password by mail.

use bulkhead_domain::RoleName;
use bulkhead_testkit::CaughtMail;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Caller, Options, System, Tenant, eventually, unique};

const PASSWORD: &str = "a longer sentence that nobody guesses";
const ACCEPT: &str = "/v1/auth/invitations/accept";
const CONFIRM: &str = "/v1/auth/register/confirm";

fn address() -> String {
    format!("{}@example.com", unique())
}

fn with(token: &str) -> Value {
    json!({ "token": token, "password": PASSWORD })
}

/// Invites without a mail, and returns the invitation's id and its token.
async fn invite(caller: &Caller<'_>, email: &str, role: &str) -> (String, String) {
    let body = json!({ "email": email, "role": role, "mail": false });
    let made = caller.post("/v1/invitations", &body).await.expect(201);
    (made.at("/id"), made.at("/token"))
}

async fn open(tenant: &Tenant<'_>, setting: Value) {
    tenant.owner.caller.call("PUT", "/v1/settings/registration").json(&setting).await.expect(200);
}

fn parts(mail: &CaughtMail) -> String {
    let header = |name| format!("{name}: {}\n", mail.header(name));
    ["From", "To", "Subject", "Auto-Submitted", "Content-Type"].map(header).concat()
}

#[tokio::test]
async fn a_person_is_invited_by_mail_and_accepts_once() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let email = address();
    let body = json!({ "email": email, "role": "developer" });
    let made = tenant.owner.caller.post("/v1/invitations", &body).await;
    insta::assert_snapshot!(made.show().replace(&email, "[address]").replace(&made.at("/id"), "ott_…"), @r#"
        201
        location: /v1/invitations/ott_…
        {
          "created_at": "[time]",
          "created_by": "usr_…",
          "email": "[address]",
          "expires_at": "[time]",
          "id": "ott_…",
          "role": "developer",
          "token": null
        }
        "#);
    let id = made.at("/id");
    let mail = system.mail_to(&email, 1);
    let headers = parts(&mail).replace(&email, "[address]").replace(&tenant.slug, "[slug]");
    let boundary = headers.split("boundary=").nth(1).unwrap_or_default().to_owned();
    insta::assert_snapshot!(headers.replace(&boundary, "…\n"), @r"
        From: Example <no-reply@example.com>
        To: [address]
        Subject: Your invitation to Acme Corporation
        Auto-Submitted: auto-generated
        Content-Type: multipart/alternative; boundary=…
        ");
    assert!(mail.header("message-id").starts_with(&format!("<{id}.")), "{}", mail.source);
    assert!(mail.readable().contains("https://app.example.com/invitation#token=bh_iv_"), "{}", mail.source);
    let token = mail.token().unwrap();

    let list = tenant.owner.caller.get("/v1/invitations").await.expect(200);
    assert_eq!(list.at("/data/0/id"), id);
    tenant.owner.caller.get(&format!("/v1/invitations/{id}")).await.expect(200);
    let again = json!({ "email": email, "role": "read_only" });
    tenant.owner.caller.post("/v1/invitations", &again).await.refused(409, "wrong-state");

    let anybody = system.anonymous();
    let weak = json!({ "token": token, "password": "password1" });
    anybody.post(ACCEPT, &weak).await.refused(422, "validation-failed");
    let accepted = anybody.post(ACCEPT, &with(&token)).await;
    insta::assert_snapshot!(accepted.show().replace(&email, "[address]"), @r#"
        201
        location: /v1/users/usr_…
        etag: "v1"
        {
          "created_at": "[time]",
          "email": "[address]",
          "id": "usr_…",
          "role": "developer",
          "updated_at": "[time]",
          "version": 1
        }
        "#);
    let no_good = anybody.post(ACCEPT, &with(&token)).await;
    insta::assert_snapshot!(no_good.show(), @r#"
        422
        content-type: application/problem+json
        {
          "code": "validation-failed",
          "detail": "Some fields hold values that are not allowed.",
          "errors": [
            {
              "detail": "is not valid: it was used, replaced, taken back or has expired, or never was one",
              "pointer": "/token"
            }
          ],
          "request_id": "req_…",
          "status": 422,
          "title": "Unprocessable Entity",
          "type": "urn:bulkhead:problem:validation-failed"
        }
        "#);
    let access = &tenant.owner.access_token;
    for bad in
        ["", "bh_iv_", access, &tenant.owner.refresh_token, &token.replace("_iv_", "_pr_"), &token[1..]]
    {
        anybody.post(ACCEPT, &with(bad)).await.refused(422, "validation-failed");
    }
    // Nor is what a mail brings a credential, or good for another purpose.
    let (_, fresh) = invite(&tenant.owner.caller, &address(), "developer").await;
    anybody.with_token(&fresh).get("/v1/me").await.refused(401, "invalid-credentials");
    anybody.with_key(&fresh).get("/v1/me").await.refused(401, "invalid-credentials");
    for elsewhere in [CONFIRM, "/v1/tenants/confirm"] {
        anybody.post(elsewhere, &with(&fresh)).await.refused(422, "validation-failed");
    }
    let reset = json!({ "token": fresh, "new_password": PASSWORD });
    anybody.post("/v1/auth/password/reset", &reset).await.refused(422, "validation-failed");
    tenant.log_in(&email, PASSWORD).await;
    tenant.owner.caller.get(&format!("/v1/invitations/{id}")).await.refused(404, "not-found");
    let taken = json!({ "email": email, "role": "read_only" });
    tenant.owner.caller.post("/v1/invitations", &taken).await.refused(409, "already-taken");
    let told = format!(
        "SELECT string_agg(action || ' ' || (actor = target), ', ' ORDER BY id) FROM {}.audit_log WHERE action LIKE '%invitation%'",
        tenant.schema()
    );
    assert_eq!(system.sql(&told), "create_invitation false, accept_invitation true, create_invitation false");
}

#[tokio::test]
async fn what_is_sent_again_or_revoked_is_not_good_any_more() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (owner, anybody) = (&tenant.owner.caller, system.anonymous());
    let email = address();
    let (id, first) = invite(owner, &email, "developer").await;
    let again = owner.post(&format!("/v1/invitations/{id}/resend"), &json!({})).await.expect(200);
    assert_eq!((again.at("/id"), again.at("/token")), (id.clone(), "null".to_owned()));
    let second = system.mail_to(&email, 1).token().unwrap();
    let third = owner.post(&format!("/v1/invitations/{id}/resend"), &json!({ "mail": false })).await;
    let third = third.expect(200).at("/token");
    for dead in [&first, &second] {
        anybody.post(ACCEPT, &with(dead)).await.refused(422, "validation-failed");
    }
    owner.delete(&format!("/v1/invitations/{id}")).await.expect(204);
    owner.delete(&format!("/v1/invitations/{id}")).await.refused(404, "not-found");
    owner.post(&format!("/v1/invitations/{id}/resend"), &json!({})).await.refused(404, "not-found");
    anybody.post(ACCEPT, &with(&third)).await.refused(422, "validation-failed");

    // However soon it is sent again, the token is another.
    let (id, first) = invite(owner, &address(), "developer").await;
    let mut tokens = vec![first];
    for _ in 0..4 {
        let again = owner.post(&format!("/v1/invitations/{id}/resend"), &json!({ "mail": false })).await;
        tokens.push(again.expect(200).at("/token"));
    }
    let (last, dead) = tokens.split_last().unwrap();
    for dead in dead {
        assert_ne!(dead, last);
        anybody.elsewhere().post(ACCEPT, &with(dead)).await.refused(422, "validation-failed");
    }
    anybody.post(ACCEPT, &with(last)).await.expect(201);

    let (_, expired) = invite(owner, &email, "developer").await;
    system.sql(&format!("UPDATE {}.one_time_tokens SET expires_at = now()", tenant.schema()));
    anybody.post(ACCEPT, &with(&expired)).await.refused(422, "validation-failed");
    // One that has expired does not keep the address from being invited.
    let (_, good) = invite(owner, &email, "developer").await;
    anybody.post(ACCEPT, &with(&good)).await.expect(201);
}

/// An invitation gives what its inviter may give when it is accepted.
#[tokio::test]
async fn an_invitation_ends_with_the_rights_of_its_inviter() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (owner, anybody) = (&tenant.owner.caller, system.anonymous());
    let admin = tenant.person(RoleName::ADMIN).await;
    let developer = tenant.person(RoleName::DEVELOPER).await;
    let body = json!({ "email": address(), "role": "owner", "mail": false });
    admin.caller.post("/v1/invitations", &body).await.refused(403, "role-not-grantable");
    let body = json!({ "email": address(), "role": "read_only", "mail": false });
    developer.caller.post("/v1/invitations", &body).await.refused(403, "insufficient-permission");
    let unknown = json!({ "email": address(), "role": "nobody", "mail": false });
    admin.caller.post("/v1/invitations", &unknown).await.refused(422, "validation-failed");
    // Nor does an administrator send an owner's invitation, or revoke it.
    let (of_owner, _) = invite(owner, &address(), "owner").await;
    let path = format!("/v1/invitations/{of_owner}");
    admin.caller.delete(&path).await.refused(403, "role-not-grantable");
    admin.caller.post(&format!("{path}/resend"), &json!({})).await.refused(403, "role-not-grantable");
    system.tenant().await.owner.caller.get(&path).await.refused(404, "not-found");

    let refused = async |token: &str| {
        anybody.post(ACCEPT, &with(token)).await.refused(422, "validation-failed");
    };
    let demoted = tenant.person(RoleName::ADMIN).await;
    let (_, token) = invite(&demoted.caller, &address(), "developer").await;
    let role = json!({ "role": "developer" });
    owner.patch(&format!("/v1/users/{}", demoted.id), &role).await.expect(200);
    refused(&token).await;

    let removed = tenant.person(RoleName::ADMIN).await;
    let (_, token) = invite(&removed.caller, &address(), "developer").await;
    owner.delete(&format!("/v1/users/{}", removed.id)).await.expect(204);
    refused(&token).await;

    let key = tenant.key(RoleName::ADMIN).await;
    let (_, token) = invite(&key.caller, &address(), "developer").await;
    owner.delete(&format!("/v1/api-keys/{}", key.id)).await.expect(204);
    refused(&token).await;

    // A role that has come to hold more than the inviter does.
    let role = json!({ "name": "clerk", "permissions": ["read:users"] });
    owner.post("/v1/roles", &role).await.expect(201);
    let (_, grown) = invite(&admin.caller, &address(), "clerk").await;
    let (_, same) = invite(&admin.caller, &address(), "developer").await;
    let more = json!({ "permissions": ["read:users", "write:owners"] });
    owner.patch("/v1/roles/clerk", &more).await.expect(200);
    refused(&grown).await;
    anybody.post(ACCEPT, &with(&same)).await.expect(201);
}

#[tokio::test]
async fn of_many_acceptances_at_once_one_is_taken() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (_, token) = invite(&tenant.owner.caller, &address(), "developer").await;
    let anybody = system.anonymous();
    let uses = (0..16).map(|_| {
        let (anybody, body) = (anybody.clone(), with(&token));
        async move { anybody.post(ACCEPT, &body).await.status }
    });
    let statuses = join_all(uses).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 422, 429, 503].contains(status)), "{statuses:?}");
    assert_eq!(tenant.count("users"), 2);
}

#[tokio::test]
async fn a_plan_is_full_when_an_invitation_is_accepted() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (_, token) = invite(&tenant.owner.caller, &address(), "developer").await;
    let schema = tenant.schema();
    let most = "SELECT max_users FROM platform.plans p JOIN platform.tenants t ON t.plan = p.name";
    system.sql(&format!(
        "INSERT INTO {schema}.users (id, email, password_hash, role, created_at, updated_at) \
         SELECT gen_random_uuid(), 'filler' || n, '', 'read_only', now(), now() \
         FROM generate_series(2, ({most} WHERE t.slug = '{}')) AS n",
        tenant.slug
    ));
    let refused = system.anonymous().post(ACCEPT, &with(&token)).await;
    refused.refused(409, "plan-limit-reached");
    let body = json!({ "email": address(), "role": "read_only" });
    tenant.owner.caller.post("/v1/invitations", &body).await.refused(409, "plan-limit-reached");
    // The token was not used up.
    system.sql(&format!("DELETE FROM {schema}.users WHERE email = 'filler2'"));
    system.anonymous().post(ACCEPT, &with(&token)).await.expect(201);
}

#[tokio::test]
async fn who_may_register_is_set_by_the_tenant_and_nobody_sets_a_role_above_their_own() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let path = "/v1/settings/registration";
    insta::assert_snapshot!(tenant.owner.caller.get(path).await.show(), @r#"
        200
        etag: "v0"
        {
          "domains": [],
          "enabled": false,
          "role": "read_only",
          "updated_at": null,
          "updated_by": null,
          "version": 0
        }
        "#);
    let put = async |caller: &Caller<'_>, body: &Value| caller.call("PUT", path).json(body).await;
    let admin = tenant.person(RoleName::ADMIN).await;
    let setting = json!({ "enabled": true, "role": "read_only", "domains": ["Bücher.example"] });
    let set = put(&admin.caller, &setting).await;
    assert_eq!((set.status, set.at("/domains/0")), (200, "xn--bcher-kva.example".to_owned()));
    put(&admin.caller, &setting).await.expect(200);
    assert_eq!(tenant.owner.caller.get(path).await.header("etag"), "\"v1\"", "the same again is no change");
    let stale = admin.caller.call("PUT", path).header("if-match", "\"v7\"").json(&setting).await;
    stale.refused(412, "precondition-failed");
    let owner = json!({ "enabled": true, "role": "owner" });
    put(&tenant.owner.caller, &owner).await.refused(422, "validation-failed");
    let wrong = json!({ "enabled": true, "role": "nobody", "domains": ["not a domain"] });
    let wrong = put(&admin.caller, &wrong).await;
    assert_eq!(wrong.at("/errors/0/pointer"), "/domains/0", "{}", wrong.show());
    let unknown = json!({ "enabled": true, "role": "nobody" });
    put(&admin.caller, &unknown).await.refused(422, "validation-failed");
    let developer = tenant.person(RoleName::DEVELOPER).await;
    put(&developer.caller, &setting).await.refused(403, "insufficient-permission");

    // A role that people who register get is not removed, and one that holds more is not set.
    let role = json!({ "name": "boss", "permissions": ["write:owners"] });
    tenant.owner.caller.post("/v1/roles", &role).await.expect(201);
    let boss = json!({ "enabled": true, "role": "boss" });
    put(&admin.caller, &boss).await.refused(403, "role-not-grantable");
    put(&tenant.owner.caller, &boss).await.expect(200);
    tenant.owner.caller.delete("/v1/roles/boss").await.refused(409, "wrong-state");
}

#[tokio::test]
async fn a_person_registers_confirms_and_is_in() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    let email = address();
    let register = async |slug: &str, email: &str, password: &str| {
        let body = json!({ "tenant": slug, "email": email, "password": password });
        anybody.elsewhere().post("/v1/auth/register", &body).await
    };
    let closed = register(&tenant.slug, &email, PASSWORD).await;
    insta::assert_snapshot!(closed.show(), @"202");
    let (_, domain) = tenant.owner.email.split_once('@').unwrap();
    open(&tenant, json!({ "enabled": true, "role": "read_only", "domains": ["example.com", domain] })).await;
    let answers = [
        register("no-such-tenant", &email, PASSWORD).await,
        register("not a slug", &email, PASSWORD).await,
        register(&tenant.slug, "a@elsewhere.example", PASSWORD).await,
        register(&tenant.slug, &tenant.owner.email, PASSWORD).await,
        register(&tenant.slug, &email, PASSWORD).await,
        // A moment later: no second mail.
        register(&tenant.slug, &email, PASSWORD).await,
    ];
    for answer in answers {
        assert_eq!(answer.show(), closed.show());
    }
    register(&tenant.slug, "nobody", "short").await.refused(422, "validation-failed");
    // The owner is told that there is an account, and nothing that lets anybody in.
    let notice = system.mail_to(&tenant.owner.email, 1);
    assert!(notice.token().is_none() && notice.header("subject").contains("have an account"), "{notice:?}");

    let token = system.mail_to(&email, 1).token().unwrap();
    let count = tenant.count("users");
    let wrong = json!({ "token": token, "password": "what somebody else has chosen" });
    let refused = anybody.post(CONFIRM, &wrong).await;
    assert_eq!((refused.status, refused.at("/errors/0/pointer")), (422, "/password".to_owned()));
    assert_eq!(tenant.count("users"), count, "there is no account before");
    let made = anybody.post(CONFIRM, &with(&token)).await.expect(201);
    assert_eq!((made.at("/email"), made.at("/role")), (email.clone(), "read_only".to_owned()));
    anybody.post(CONFIRM, &with(&token)).await.refused(422, "validation-failed");
    tenant.log_in(&email, PASSWORD).await;
}

/// What counts is what is set when the registration is confirmed.
#[tokio::test]
async fn a_registration_that_is_not_confirmed_gets_what_is_set_then() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let anybody = system.anonymous();
    open(&tenant, json!({ "enabled": true, "role": "developer" })).await;
    let [first, second] = [address(), address()];
    for email in [&first, &second] {
        let body = json!({ "tenant": tenant.slug, "email": email, "password": PASSWORD });
        anybody.post("/v1/auth/register", &body).await.expect(202);
    }
    open(&tenant, json!({ "enabled": true, "role": "read_only" })).await;
    let made = anybody.post(CONFIRM, &with(&system.mail_to(&first, 1).token().unwrap())).await.expect(201);
    assert_eq!(made.at("/role"), "read_only");
    open(&tenant, json!({ "enabled": false, "role": "read_only" })).await;
    let token = system.mail_to(&second, 1).token().unwrap();
    anybody.post(CONFIRM, &with(&token)).await.refused(422, "validation-failed");
    open(&tenant, json!({ "enabled": true, "role": "read_only", "domains": ["elsewhere.example"] })).await;
    anybody.post(CONFIRM, &with(&token)).await.refused(422, "validation-failed");
}

#[tokio::test]
async fn a_person_gets_a_new_password_by_mail() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let anybody = system.anonymous();
    let forgot = async |slug: &str, email: &str| {
        let body = json!({ "tenant": slug, "email": email });
        anybody.elsewhere().post("/v1/auth/password/forgot", &body).await
    };
    let answers = [
        forgot(&tenant.slug, &address()).await,
        forgot("no-such-tenant", &person.email).await,
        forgot(&tenant.slug, "not an address").await,
        forgot(&tenant.slug, &person.email).await,
    ];
    for answer in &answers {
        assert_eq!(answer.show(), answers[3].show());
    }
    insta::assert_snapshot!(answers[3].show(), @"202");
    let mail = system.mail_to(&person.email, 1);
    assert!(mail.readable().contains("https://app.example.com/password-reset#token=bh_pr_"), "{mail:?}");
    let token = mail.token().unwrap();
    let body = json!({ "token": token, "new_password": PASSWORD });
    anybody.post("/v1/auth/password/reset", &body).await.expect(204);
    anybody.post("/v1/auth/password/reset", &body).await.refused(422, "validation-failed");
    tenant.log_in(&person.email, PASSWORD).await;
}

/// An administrator's token is not taken away by a stranger who asks for another.
#[tokio::test]
async fn a_mailed_token_replaces_only_a_mailed_one_and_a_mailbox_is_not_filled() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    let path = format!("/v1/users/{}/password-reset", person.id);
    let handed = tenant.owner.caller.post_nothing(&path).await.expect(201).at("/token");
    let anybody = system.anonymous();
    let forgot = json!({ "tenant": tenant.slug, "email": person.email });
    anybody.post("/v1/auth/password/forgot", &forgot).await.expect(202);
    let first = system.mail_to(&person.email, 1).token().unwrap();
    anybody.post("/v1/auth/password/forgot", &forgot).await.expect(202);
    // As if the five minutes were over.
    let table = format!("{}.one_time_tokens", tenant.schema());
    let age = format!(
        "UPDATE {table} SET created_at = now() - interval '1 hour' WHERE purpose = 'password_forgotten'"
    );
    let asked =
        format!("SELECT count(*) FROM {}.audit_log WHERE action = 'forgot_password'", tenant.schema());
    assert_eq!(system.sql(&asked), "1");
    system.sql(&age);
    anybody.post("/v1/auth/password/forgot", &forgot).await.expect(202);
    let mails = system.mail().wait_for(&person.email, 2, std::time::Duration::from_secs(30));
    assert_eq!(mails.len(), 2);
    let reset = |token: &str| json!({ "token": token, "new_password": PASSWORD });
    anybody.post("/v1/auth/password/reset", &reset(&first)).await.refused(422, "validation-failed");
    anybody.post("/v1/auth/password/reset", &reset(&handed)).await.expect(204);
    // A new password takes back the others.
    let last = mails.last().unwrap().token().unwrap();
    anybody.post("/v1/auth/password/reset", &reset(&last)).await.refused(422, "validation-failed");
}

#[tokio::test]
async fn a_tenant_signs_itself_up_when_its_address_is_confirmed() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    let (slug, email) = (format!("s{}", unique()), address());
    let body = json!({ "slug": slug, "name": "Acme <b>", "email": email, "password": PASSWORD });
    let answer = anybody.post("/v1/tenants", &body).await;
    insta::assert_snapshot!(answer.show(), @"202");
    let mail = system.mail_to(&email, 1);
    assert!(!mail.source.contains("Acme"), "what strangers write is not sent on: {}", mail.source);
    let token = mail.token().unwrap();
    let known = format!("SELECT count(*) FROM platform.tenants WHERE slug = '{slug}'");
    assert_eq!(system.sql(&known), "0", "nothing is set up before");
    let wrong = json!({ "token": token, "password": "what somebody else has chosen" });
    anybody.post("/v1/tenants/confirm", &wrong).await.refused(422, "validation-failed");
    anybody.post("/v1/tenants/confirm", &with(&token)).await.expect(202);
    anybody.post("/v1/tenants/confirm", &with(&token)).await.refused(422, "validation-failed");
    let log_in = json!({ "tenant": slug, "email": email, "password": PASSWORD });
    // Asked as seldom as a person would, for an account that does not exist yet counts failures.
    eventually(
        async || anybody.get("/livez").await,
        |_| system.sql(&format!("SELECT status FROM platform.tenants WHERE slug = '{slug}'")) == "active",
    )
    .await;
    let tokens = anybody.post("/v1/auth/login", &log_in).await.expect(200);
    let me = anybody.with_token(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/tenant/slug"), me.at("/tenant/plan")), (slug.clone(), "free".to_owned()));
    let taken = json!({ "slug": slug, "name": "Acme", "email": address(), "password": PASSWORD });
    anybody.post("/v1/tenants", &taken).await.refused(409, "already-taken");
    let plan =
        json!({ "slug": slug, "name": "A", "email": email, "password": PASSWORD, "plan": "enterprise" });
    anybody.post("/v1/tenants", &plan).await.refused(422, "invalid-body");
}

/// A share of mails: what is beyond it is refused to who may know, and dropped for strangers.
#[tokio::test]
async fn a_tenant_sends_so_many_mails_an_hour() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let use_up = format!(
        "INSERT INTO platform.hourly_shares SELECT id, date_trunc('hour', now(), 'UTC'), 1000 FROM platform.tenants WHERE slug = '{}' \
         ON CONFLICT (owner) DO UPDATE SET used = 1000, hour = excluded.hour",
        tenant.slug
    );
    system.sql(&use_up);
    let body = json!({ "email": address(), "role": "developer" });
    let refused = tenant.owner.caller.post("/v1/invitations", &body).await;
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    refused.refused(429, "rate-limited");
    assert_eq!(tenant.count("one_time_tokens"), 0, "nothing is left of it");
    open(&tenant, json!({ "enabled": true, "role": "developer" })).await;
    let register = json!({ "tenant": tenant.slug, "email": address(), "password": PASSWORD });
    system.anonymous().post("/v1/auth/register", &register).await.expect(202);
    assert_eq!(tenant.count("one_time_tokens"), 0);
    // In the next hour it is as before.
    system.sql(&format!(
        "UPDATE platform.hourly_shares SET hour = hour - interval '1 hour' \
         WHERE owner = (SELECT id FROM platform.tenants WHERE slug = '{}')",
        tenant.slug
    ));
    tenant.owner.caller.post("/v1/invitations", &body).await.expect(201);
}

/// A suspended tenant lets nobody in, by whatever they hold of it.
#[tokio::test]
async fn a_suspended_tenant_lets_nobody_in() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (owner, anybody) = (&tenant.owner.caller, system.anonymous());
    open(&tenant, json!({ "enabled": true, "role": "read_only" })).await;
    let (_, invitation) = invite(owner, &address(), "developer").await;
    let email = address();
    let register = |email: &str| json!({ "tenant": tenant.slug, "email": email, "password": PASSWORD });
    anybody.post("/v1/auth/register", &register(&email)).await.expect(202);
    let registration = system.mail_to(&email, 1).token().unwrap();
    let person = tenant.person(RoleName::DEVELOPER).await;
    let path = format!("/v1/users/{}/password-reset", person.id);
    let reset = owner.post_nothing(&path).await.expect(201).at("/token");
    let of_operator = format!("/v1/admin/tenants/{}", tenant.id);
    let operator = system.operator().await;
    operator.post_nothing(&format!("{of_operator}/suspend")).await.expect(200);
    eventually(async || owner.get("/v1/me").await, |answer| answer.code() == "tenant-suspended").await;

    let (users, tokens) = (tenant.count("users"), tenant.count("one_time_tokens"));
    let new = json!({ "token": reset, "new_password": PASSWORD });
    for (path, body) in [
        (ACCEPT, with(&invitation)),
        (CONFIRM, with(&registration)),
        ("/v1/auth/password/reset", new.clone()),
    ] {
        anybody.post(path, &body).await.refused(403, "tenant-suspended");
    }
    anybody.post("/v1/auth/register", &register(&address())).await.expect(202);
    assert_eq!((tenant.count("users"), tenant.count("one_time_tokens")), (users, tokens));
    // Nothing was used up.
    operator.post_nothing(&format!("{of_operator}/activate")).await.expect(200);
    eventually(async || owner.get("/v1/me").await, |answer| answer.status == 200).await;
    anybody.post(ACCEPT, &with(&invitation)).await.expect(201);
    anybody.post(CONFIRM, &with(&registration)).await.expect(201);
    anybody.post("/v1/auth/password/reset", &new).await.expect(204);
}

/// What the tenant is called is no password, for whoever sets one with a token.
#[tokio::test]
async fn the_tenants_slug_is_no_password() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (owner, anybody) = (&tenant.owner.caller, system.anonymous());
    let (_, invitation) = invite(owner, &address(), "developer").await;
    let body = json!({ "token": invitation, "password": tenant.slug });
    let refused = anybody.post(ACCEPT, &body).await;
    assert_eq!((refused.status, refused.at("/errors/0/pointer")), (422, "/password".to_owned()));
    let path = format!("/v1/users/{}/password-reset", tenant.person(RoleName::DEVELOPER).await.id);
    let token = owner.post_nothing(&path).await.expect(201).at("/token");
    let body = json!({ "token": token, "new_password": tenant.slug });
    let refused = anybody.post("/v1/auth/password/reset", &body).await;
    assert_eq!((refused.status, refused.at("/errors/0/pointer")), (422, "/new_password".to_owned()));
    // Neither was used up.
    anybody.post(ACCEPT, &with(&invitation)).await.expect(201);
    let body = json!({ "token": token, "new_password": PASSWORD });
    anybody.post("/v1/auth/password/reset", &body).await.expect(204);
}

#[tokio::test]
async fn a_tenant_has_a_thousand_invitations_at_most() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let schema = tenant.schema();
    system.sql(&format!(
        "INSERT INTO {schema}.one_time_tokens (id, purpose, mac, created_by, created_at, expires_at, email, role) \
         SELECT gen_random_uuid(), 'invitation', '', 'usr_1', now(), now() + interval '1 day', 'filler' || n, 'read_only' \
         FROM generate_series(1, 1000) AS n"
    ));
    let body = json!({ "email": address(), "role": "read_only", "mail": false });
    tenant.owner.caller.post("/v1/invitations", &body).await.refused(409, "wrong-state");
    system.sql(&format!("UPDATE {schema}.one_time_tokens SET expires_at = now() WHERE email = 'filler1'"));
    tenant.owner.caller.post("/v1/invitations", &body).await.expect(201);
}

/// What a tenant calls itself may be an address of somebody's choice; then a mail has the slug.
#[tokio::test]
async fn a_mail_does_not_call_a_tenant_what_could_be_an_address() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let name = "Log in at evil.example";
    system.sql(&format!("UPDATE platform.tenants SET name = '{name}' WHERE slug = '{}'", tenant.slug));
    let email = address();
    let body = json!({ "email": email, "role": "developer" });
    tenant.owner.caller.post("/v1/invitations", &body).await.expect(201);
    let mail = system.mail_to(&email, 1);
    assert_eq!(mail.header("subject"), format!("Your invitation to {}", tenant.slug));
    assert!(!mail.readable().contains("evil.example"), "{}", mail.source);
}

/// A registration is confirmed into what there is then: a role that is gone is not given, and a plan that is full takes nobody.
#[tokio::test]
async fn a_registration_is_confirmed_within_the_plan_and_with_a_role_that_exists() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (owner, anybody, schema) = (&tenant.owner.caller, system.anonymous(), tenant.schema());
    let role = json!({ "name": "clerk", "permissions": ["read:users"] });
    owner.post("/v1/roles", &role).await.expect(201);
    open(&tenant, json!({ "enabled": true, "role": "clerk" })).await;
    let email = address();
    let body = json!({ "tenant": tenant.slug, "email": email, "password": PASSWORD });
    anybody.post("/v1/auth/register", &body).await.expect(202);
    let token = system.mail_to(&email, 1).token().unwrap();
    system.sql(&format!("DELETE FROM {schema}.roles WHERE name = 'clerk'"));
    anybody.post(CONFIRM, &with(&token)).await.refused(422, "validation-failed");
    open(&tenant, json!({ "enabled": true, "role": "read_only" })).await;
    let most = format!(
        "SELECT max_users FROM platform.plans p JOIN platform.tenants t ON t.plan = p.name WHERE t.slug = '{}'",
        tenant.slug
    );
    system.sql(&format!(
        "INSERT INTO {schema}.users (id, email, password_hash, role, created_at, updated_at) \
         SELECT gen_random_uuid(), 'filler' || n, '', 'read_only', now(), now() FROM generate_series(2, ({most})) AS n"
    ));
    anybody.post(CONFIRM, &with(&token)).await.refused(409, "plan-limit-reached");
    system.sql(&format!("DELETE FROM {schema}.users WHERE email = 'filler2'"));
    anybody.post(CONFIRM, &with(&token)).await.expect(201);
}

/// A mailbox is not filled by whoever signs up with its address, and an old mail confirms nothing.
#[tokio::test]
async fn a_sign_up_is_mailed_once_in_five_minutes_and_ends_with_the_next_one() {
    let system = System::shared().await;
    let anybody = system.anonymous();
    let email = address();
    let body = |slug: &str| json!({ "slug": slug, "name": "Acme", "email": email, "password": PASSWORD });
    let [first, second, third] = [(); 3].map(|()| format!("s{}", unique()));
    anybody.post("/v1/tenants", &body(&first)).await.expect(202);
    let token = system.mail_to(&email, 1).token().unwrap();
    anybody.post("/v1/tenants", &body(&second)).await.expect(202);
    let wanted = format!("SELECT string_agg(slug, ' ') FROM platform.sign_ups WHERE email = '{email}'");
    assert_eq!(system.sql(&wanted), first, "the second came too soon");
    system.sql(&format!(
        "UPDATE platform.sign_ups SET created_at = now() - interval '1 hour' WHERE email = '{email}'"
    ));
    anybody.post("/v1/tenants", &body(&third)).await.expect(202);
    let mails = system.mail().wait_for(&email, 2, std::time::Duration::from_secs(30));
    assert_eq!(mails.len(), 2);
    anybody.post("/v1/tenants/confirm", &with(&token)).await.refused(422, "validation-failed");
    let last = mails.last().unwrap().token().unwrap();
    system.sql(&format!("UPDATE platform.sign_ups SET expires_at = now() WHERE email = '{email}'"));
    anybody.post("/v1/tenants/confirm", &with(&last)).await.refused(422, "validation-failed");
}

/// Without mail a tenant is built at once, and no more of them in an hour than the platform says.
#[tokio::test]
async fn tenants_sign_up_without_mail_as_many_as_the_platform_takes_in_an_hour() {
    let api = vec![("BULKHEAD_SIGNUPS_PER_HOUR", "2".to_owned())];
    let system = System::start("sign_ups", Options { api, no_mail: true, ..Options::default() }).await;
    let anybody = system.anonymous();
    let [slug, other, beyond] = [(); 3].map(|()| format!("s{}", unique()));
    let body = |slug: &str| json!({ "slug": slug, "name": "Acme", "email": address(), "password": PASSWORD });
    let first = body(&slug);
    anybody.post("/v1/tenants", &first).await.expect(202);
    anybody.post("/v1/tenants", &body(&slug)).await.refused(409, "already-taken");
    eventually(
        async || system.sql(&format!("SELECT status FROM platform.tenants WHERE slug = '{slug}'")),
        |status| status == "active",
    )
    .await;
    let log_in = json!({ "tenant": slug, "email": first["email"], "password": PASSWORD });
    anybody.post("/v1/auth/login", &log_in).await.expect(200);
    anybody.post("/v1/tenants", &body(&other)).await.expect(202);
    let refused = anybody.post("/v1/tenants", &body(&beyond)).await;
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    refused.refused(429, "rate-limited");
    let made = format!("SELECT count(*) FROM platform.tenants WHERE slug = '{beyond}'");
    assert_eq!(system.sql(&made), "0");
}

/// Where no mail leaves, what can do without works in another way, and what cannot says so.
#[tokio::test]
async fn a_platform_without_mail() {
    let off = |name| (name, "false".to_owned());
    let options =
        Options { api: vec![off("BULKHEAD_SELF_SERVICE_SIGNUP")], no_mail: true, ..Options::default() };
    let system = System::start("no_mail", options).await;
    let tenant = system.tenant().await;
    let (owner, anybody) = (&tenant.owner.caller, system.anonymous());
    let body = json!({ "email": address(), "role": "developer", "mail": true });
    owner.post("/v1/invitations", &body).await.refused(422, "validation-failed");
    let invited = address();
    let body = json!({ "email": invited, "role": "developer" });
    let token = owner.post("/v1/invitations", &body).await.expect(201).at("/token");
    anybody.post(ACCEPT, &with(&token)).await.expect(201);
    let forgot = json!({ "tenant": tenant.slug, "email": invited });
    anybody.post("/v1/auth/password/forgot", &forgot).await.refused(409, "wrong-state");
    let sign_up = json!({ "slug": "acme-two", "name": "Acme", "email": invited, "password": PASSWORD });
    anybody.post("/v1/tenants", &sign_up).await.refused(409, "wrong-state");
    anybody.post("/v1/tenants/confirm", &with(&token)).await.refused(409, "wrong-state");

    let domains = json!({ "enabled": true, "role": "read_only", "domains": ["example.com"] });
    let refused = owner.call("PUT", "/v1/settings/registration").json(&domains).await;
    refused.refused(422, "validation-failed");
    let register = json!({ "tenant": tenant.slug, "email": address(), "password": PASSWORD });
    anybody.post("/v1/auth/register", &register).await.expect(202);
    assert_eq!(tenant.count("users"), 2, "nobody registers who is not let in");
    open(&tenant, json!({ "enabled": true, "role": "read_only" })).await;
    for _ in 0..2 {
        anybody.post("/v1/auth/register", &register).await.expect(202);
    }
    assert_eq!(tenant.count("users"), 3);
    tenant.log_in(register["email"].as_str().unwrap(), PASSWORD).await;
    // Domains that were set while mail left let nobody in now.
    let schema = tenant.schema();
    let domains = |list: &str| {
        format!("UPDATE {schema}.settings SET value = jsonb_set(value, '{{domains}}', '{list}')")
    };
    system.sql(&domains("[\"example.com\"]"));
    let register = json!({ "tenant": tenant.slug, "email": address(), "password": PASSWORD });
    anybody.post("/v1/auth/register", &register).await.expect(202);
    assert_eq!(tenant.count("users"), 3);
    system.sql(&domains("[]"));
    // Nor does a plan that is full.
    system.sql(&format!(
        "INSERT INTO {schema}.users (id, email, password_hash, role, created_at, updated_at) \
         SELECT gen_random_uuid(), 'filler' || n, '', 'read_only', now(), now() FROM generate_series(4, ( \
             SELECT max_users FROM platform.plans p JOIN platform.tenants t ON t.plan = p.name WHERE t.slug = '{}')) AS n",
        tenant.slug
    ));
    let full = tenant.count("users");
    anybody.post("/v1/auth/register", &register).await.expect(202);
    assert_eq!(tenant.count("users"), full);
}
