//! Work that goes on in the background, followed from outside.

use bulkhead_domain::RoleName;

use crate::support::System;

#[tokio::test]
async fn the_tenant_and_an_operator_follow_the_same_operation() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let path = format!("/v1/operations/{}", tenant.operation);
    let seen = tenant.key(RoleName::READ_ONLY).await.caller.get(&path).await;
    insta::assert_snapshot!(seen.show(), @r#"
    200
    {
      "done": true,
      "error": null,
      "id": "job_…",
      "progress": 100,
      "result": {
        "outcome": "built",
        "tenant": "ten_…"
      },
      "state": "succeeded"
    }
    "#);
    assert_eq!(system.operator().await.get(&path).await.json(), seen.json());
}

#[tokio::test]
async fn an_operation_that_does_not_exist_is_not_found() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    for id in ["job_01jd3e2x6m7k9v4q8t5b2n0c1c", "nonsense", tenant.id.as_str()] {
        let path = format!("/v1/operations/{id}");
        tenant.owner.caller.get(&path).await.refused(404, "not-found");
        system.operator().await.get(&path).await.refused(404, "not-found");
    }
}
