//! The keys that sign access tokens.

use serde_json::{Value, json};

use crate::support::{Options, System, bulkhead, eventually};

#[tokio::test]
async fn signing_keys_are_listed_and_replaced() {
    let system = System::start("rotating", Options::default()).await;
    let operator = system.operator().await;
    let tenant = system.tenant().await;
    let list = async || operator.get("/v1/admin/keys").await.expect(200);
    let keys = eventually(list, |answer| answer.body.contains("standby")).await.json();
    let kid = |keys: &Value, state: &str| {
        let found = keys["data"].as_array().unwrap().iter().find(|key| key["state"] == state);
        found.map(|key| key["kid"].as_str().unwrap().to_owned())
    };
    let (first, second) = (kid(&keys, "active").unwrap(), kid(&keys, "standby").unwrap());
    let shown = |body: &str| body.replace(&first, "[first]").replace(&second, "[second]");
    let mut listed = list().await;
    listed.body = shown(&listed.body);
    insta::assert_snapshot!(listed.show(), @r#"
    200
    {
      "data": [
        {
          "activated_at": "[time]",
          "created_at": "[time]",
          "gone_after": null,
          "kid": "[first]",
          "retired_at": null,
          "state": "active",
          "usable_from": null
        },
        {
          "activated_at": null,
          "created_at": "[time]",
          "gone_after": null,
          "kid": "[second]",
          "retired_at": null,
          "state": "standby",
          "usable_from": "[time]"
        }
      ]
    }
    "#);
    assert!(!listed.body.contains("sealed") && !listed.body.contains("PRIVATE"));
    let jwks = async || system.anonymous().get("/.well-known/jwks.json").await.expect(200);
    eventually(jwks, |answer| answer.body.contains(&second)).await;

    let rotate = |kid: &str| operator.post("/v1/admin/keys/rotate", &json!({ "kid": kid }));
    let early = rotate(&first).await;
    insta::assert_snapshot!(early.show(), @r#"
    409
    content-type: application/problem+json
    {
      "code": "wrong-state",
      "detail": "The standby key is not known to all who verify tokens yet: it can take over after its usable_from. List the keys.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:wrong-state"
    }
    "#);
    for (kid, code) in [(second.as_str(), "wrong-state"), (&"x".repeat(43), "wrong-state")] {
        rotate(kid).await.refused(409, code);
    }
    for bad in ["", "x", &"x".repeat(44), &format!("{}=", "x".repeat(42)), &format!("{} ", "x".repeat(42))] {
        rotate(bad).await.refused(422, "validation-failed");
    }
    let unknown = json!({ "kid": "x".repeat(43), "withdraw": true });
    operator.post("/v1/admin/keys/rotate", &unknown).await.refused(409, "wrong-state");

    // Ten minutes later.
    system.sql("UPDATE platform.signing_keys SET created_at = created_at - interval '10 minutes' WHERE state = 'standby'");
    let early = bulkhead(&["keys", "list"], &system.commands(), "");
    assert!(early.out.contains(&format!("active    {first}  signs since ")), "{early:?}");
    assert!(early.out.contains(&format!("standby   {second}  can sign from ")), "{early:?}");
    let mut done = rotate(&first).await.expect(200);
    assert_eq!(kid(&done.json(), "active").unwrap(), second);
    assert_eq!(kid(&done.json(), "retired").unwrap(), first);
    done.body = shown(&done.body);
    insta::assert_snapshot!(done.show(), @r#"
    200
    {
      "data": [
        {
          "activated_at": "[time]",
          "created_at": "[time]",
          "gone_after": null,
          "kid": "[second]",
          "retired_at": null,
          "state": "active",
          "usable_from": null
        },
        {
          "activated_at": "[time]",
          "created_at": "[time]",
          "gone_after": "[time]",
          "kid": "[first]",
          "retired_at": "[time]",
          "state": "retired",
          "usable_from": null
        }
      ]
    }
    "#);
    rotate(&first).await.refused(409, "wrong-state");
    let audited = format!(
        "SELECT action, changes->>'state', changes->>'active' FROM platform.audit_log WHERE target = '{first}'"
    );
    assert_eq!(system.sql(&audited), format!("rotate_signing_keys|retired|{second}"));
    // Tokens of both are good; new ones are the second's.
    tenant.owner.caller.get("/v1/me").await.expect(200);
    let login =
        json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": tenant.owner.password });
    let log_in =
        async || system.anonymous().post("/v1/auth/login", &login).await.expect(200).at("/access_token");
    let by = |token: &str| {
        let header = token.split('.').next().unwrap().replace('-', "+").replace('_', "/");
        let padded = format!("{header}{}", "=".repeat((4 - header.len() % 4) % 4));
        system.sql(&format!("SELECT convert_from(decode('{padded}', 'base64'), 'UTF8')::json->>'kid'"))
    };
    let start = std::time::Instant::now();
    while by(&log_in().await) != second {
        assert!(start.elapsed().as_secs() < 30, "the node signs with the first key still");
    }
    assert!(jwks().await.body.contains(&first), "its tokens cannot be verified any more");

    // From the command line; a standby key is there again soon.
    let third = eventually(list, |answer| answer.body.contains("standby")).await.json();
    let third = kid(&third, "standby").unwrap();
    let refused = bulkhead(&["keys", "rotate"], &system.commands(), "");
    assert!(!refused.success && refused.err.contains("it can sign from "), "{refused:?}");
    system.sql("UPDATE platform.signing_keys SET created_at = created_at - interval '10 minutes' WHERE state = 'standby'");
    let rotated = bulkhead(&["keys", "rotate"], &system.commands(), "");
    assert_eq!(rotated.out, format!("{third} signs in place of {second}\n"), "{rotated:?}");
    let withdrawn = bulkhead(&["keys", "rotate", "--withdraw", &first], &system.commands(), "");
    assert_eq!(withdrawn.out, format!("withdrawn {first}, which was retired\n"), "{withdrawn:?}");
    // The one that signs, with none published ahead: one is made at once.
    system.sql("DELETE FROM platform.signing_keys WHERE state = 'standby'");
    let withdrawn = bulkhead(&["keys", "rotate", "--withdraw", &third], &system.commands(), "");
    assert!(withdrawn.out.starts_with(&format!("withdrawn {third}: ")), "{withdrawn:?}");
    let unknown = bulkhead(&["keys", "rotate", "--withdraw", &third], &system.commands(), "");
    assert_eq!(unknown.err, format!("bulkhead: there is no key {third}\n"));
    let actors = system.sql("SELECT DISTINCT actor FROM platform.audit_log WHERE actor LIKE 'bulkhead%' AND action <> 'create_operator'");
    assert_eq!(actors, "bulkhead keys");
    // The operator's token was the first key's.
    system.assert_sound();
}
