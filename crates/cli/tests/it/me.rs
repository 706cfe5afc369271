//! Who am I.

use bulkhead_domain::RoleName;

use crate::support::System;

#[tokio::test]
async fn a_person_and_a_program_see_themselves_and_their_tenant() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let me = tenant.owner.caller.get("/v1/me").await;
    insta::assert_snapshot!(me.show(), @r#"
    200
    {
      "permissions": [
        "read:users",
        "write:users",
        "write:owners",
        "read:roles",
        "write:roles",
        "read:api_keys",
        "write:api_keys",
        "read:identity_providers",
        "write:identity_providers",
        "read:jobs",
        "read:usage",
        "read:scaling",
        "read:audit",
        "read:settings",
        "write:settings",
        "read:resources",
        "write:resources"
      ],
      "role": "owner",
      "subject": "usr_…",
      "tenant": {
        "burst": 10000,
        "id": "ten_…",
        "name": "Acme Corporation",
        "plan": "enterprise",
        "requests_per_minute": 10000,
        "slug": "acme"
      }
    }
    "#);
    assert_eq!((me.at("/tenant/id"), me.at("/tenant/slug")), (tenant.id.clone(), tenant.slug.clone()));

    let key = tenant.key(RoleName::READ_ONLY).await;
    let me = key.caller.get("/v1/me").await;
    insta::assert_snapshot!(me.show(), @r#"
    200
    {
      "permissions": [
        "read:jobs",
        "read:usage",
        "read:scaling",
        "read:resources"
      ],
      "role": "read_only",
      "subject": "key_…",
      "tenant": {
        "burst": 10000,
        "id": "ten_…",
        "name": "Acme Corporation",
        "plan": "enterprise",
        "requests_per_minute": 10000,
        "slug": "acme"
      }
    }
    "#);
    assert_eq!(me.at("/subject"), key.id);
}

#[tokio::test]
async fn an_operator_belongs_to_no_tenant() {
    let system = System::shared().await;
    insta::assert_snapshot!(system.operator_with(RoleName::SUPPORT).await.get("/v1/me").await.show(), @r#"
    200
    {
      "permissions": [
        "read:tenants",
        "read:operations",
        "read:all_usage",
        "read:signing_keys",
        "read:audit",
        "read:operators",
        "read:operator_keys",
        "read:all_identity_providers"
      ],
      "role": "support",
      "subject": "opr_…",
      "tenant": null
    }
    "#);
}
