//! A provider that is not ours: `oidc-provider-mock` of `PyPI`, built on `Authlib`. What our own issuer of the tests takes for right might
//! be wrong in the same way as what it tests.

use reqwest::redirect::Policy;
use serde_json::json;

use crate::support::{Options, System, Tool, unique};

#[tokio::test]
async fn a_person_logs_in_at_a_provider_that_others_have_written() {
    let (subject, email) = (unique(), format!("{}@example.com", unique()));
    let user = json!({ "sub": subject, "email": email, "email_verified": true }).to_string();
    let arguments = ["--require-nonce", "true", "--user-claims", &user];
    let Some(provider) = Tool::start("oidc-provider-mock", &arguments, "/").await else { return };
    let api = vec![
        ("BULKHEAD_OIDC_ALLOWED_ISSUERS", format!("127.0.0.1:{}", provider.port)),
        ("BULKHEAD_DANGEROUSLY_ALLOW_PRIVATE_ISSUERS", "true".to_owned()),
    ];
    let system = System::start("other_provider", Options { api, ..Options::default() }).await;
    let tenant = system.tenant().await;
    let body = json!({
        "name": "Theirs", "kind": "oidc", "issuer": provider.url(""), "client_id": "bulkhead", "client_secret": "a-secret",
        "creates_users": true, "default_role": "read_only", "max_role": "developer",
    });
    let id = tenant.owner.caller.post("/v1/identity-providers", &body).await.expect(201).at("/id");
    let begun = system.anonymous().get(&format!("/v1/auth/federated/{id}/start")).await.expect(302);
    let cookie = begun.header("set-cookie").split(';').next().unwrap().to_owned();
    // What the person does on the provider's page: say who they are.
    let browser = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let page = browser.post(begun.header("location"));
    let page =
        page.header("content-type", "application/x-www-form-urlencoded").body(format!("sub={subject}"));
    let answer = page.send().await.unwrap();
    let back =
        answer.headers().get("location").unwrap_or_else(|| panic!("{}", answer.status())).to_str().unwrap();
    let query = back.split_once('?').unwrap().1;
    let callback = format!("/v1/auth/federated/{id}/callback?{query}");
    let tokens = system.anonymous().get(&callback).header("cookie", &cookie).await.expect(200);
    let me = system.anonymous().with_token(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/tenant/id"), me.at("/role")), (tenant.id.clone(), "read_only".to_owned()));
    let user = tenant.owner.caller.get(&format!("/v1/users/{}", me.at("/subject"))).await.expect(200);
    assert_eq!(user.at("/email"), email);
    system.anonymous().get(&callback).header("cookie", &cookie).await.refused(401, "login-failed");
}
