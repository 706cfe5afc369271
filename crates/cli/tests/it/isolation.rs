//! A tenant is proven, never claimed. That no operation reaches another tenant is held by the kit (`conformance/mod.rs`).

use bulkhead_domain::{Clock, SystemClock, TenantId};
use serde_json::json;

use crate::support::System;

#[tokio::test]
async fn a_tenant_named_beside_the_credential_can_only_be_its_own() {
    let system = System::shared().await;
    let (ours, theirs) = (system.tenant().await, system.tenant().await);
    let owner = &ours.owner.caller;
    let name = |tenant: &str| owner.get("/v1/me").header("x-tenant-id", tenant);
    name(&ours.id).await.expect(200);
    let refused = name(&theirs.id).await.refused(400, "tenant-mismatch");
    insta::assert_snapshot!(refused.show(), @r#"
    400
    content-type: application/problem+json
    {
      "code": "tenant-mismatch",
      "detail": "The request names another tenant than the credential belongs to.",
      "request_id": "req_…",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:bulkhead:problem:tenant-mismatch"
    }
    "#);
    for other in [
        TenantId::mint(SystemClock.now()).to_string(),
        ours.slug.clone(),
        ours.id.to_uppercase(),
        String::new(),
        "' OR 1=1 --".to_owned(),
    ] {
        let answer = name(&other).await;
        assert_eq!(answer.body_without_request_id(), refused.body_without_request_id(), "{other}");
        assert_eq!(answer.show(), refused.show(), "{other}");
    }
    let both = name(&ours.id).another("x-tenant-id", &theirs.id).await;
    assert_eq!(both.body_without_request_id(), refused.body_without_request_id());
    // In a body there is no room for a tenant at all.
    let body = json!({ "name": "a", "kind": "b", "tenant": theirs.id });
    owner.post("/v1/resources", &body).await.refused(422, "invalid-body");
}
