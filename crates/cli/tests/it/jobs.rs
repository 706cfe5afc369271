//! Background jobs.

use bulkhead_domain::RoleName;

use crate::support::System;

#[tokio::test]
async fn a_tenant_sees_its_own_jobs() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let jobs = tenant.key(RoleName::READ_ONLY).await.caller.get("/v1/jobs").await;
    insta::assert_snapshot!(jobs.show(), @r#"
    200
    {
      "data": [
        {
          "attempts": 1,
          "created_at": "[time]",
          "finished_at": "[time]",
          "id": "job_…",
          "kind": "provision_tenant",
          "progress": 100,
          "state": "succeeded"
        }
      ],
      "next_cursor": null
    }
    "#);
    assert_eq!(jobs.at("/data/0/id"), tenant.operation);
}
