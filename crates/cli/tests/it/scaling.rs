//! What a tenant's load calls for.

use bulkhead_domain::TenantId;

use crate::support::System;

#[tokio::test]
async fn decisions_are_listed_the_newest_first() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let id = tenant.id.parse::<TenantId>().unwrap().uuid();
    system.sql(&format!(
        "INSERT INTO platform.scaling_decisions VALUES \
         ('019ab000-0000-7000-8000-{:0>12}', '{id}', '2026-11-01 00:00Z', 'scale_up', 1, 2, 2250, 32.8, 'busy'), \
         ('019ab001-0000-7000-8000-{:0>12}', '{id}', '2026-11-01 00:01Z', 'hold', 2, 2, 0, NULL, 'idle')",
        &id.simple().to_string()[20..],
        &id.simple().to_string()[20..],
    ));
    let first = owner.get("/v1/scaling/decisions?limit=1").await;
    let cursor = first.at("/next_cursor");
    insta::assert_snapshot!(first.show().replace(&cursor, "[cursor]"), @r#"
    200
    link: </v1/scaling/decisions?limit=1&cursor=[cursor]>; rel="next"
    {
      "data": [
        {
          "action": "hold",
          "current": 2,
          "minute": "[time]",
          "p95_ms": null,
          "reason": "idle",
          "requests_per_minute": 0.0,
          "target": 2
        }
      ],
      "next_cursor": "[cursor]"
    }
    "#);
    let second = owner.get(&format!("/v1/scaling/decisions?limit=1&cursor={cursor}")).await;
    insta::assert_snapshot!(second.show(), @r#"
    200
    {
      "data": [
        {
          "action": "scale_up",
          "current": 1,
          "minute": "[time]",
          "p95_ms": 32.8,
          "reason": "busy",
          "requests_per_minute": 2250.0,
          "target": 2
        }
      ],
      "next_cursor": null
    }
    "#);
    owner.get("/v1/scaling/decisions?cursor=first").await.refused(400, "invalid-parameter");
}
