//! Business objects.

use serde_json::json;

use crate::support::System;

#[tokio::test]
async fn a_resource_from_its_creation_to_its_removal() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;

    let body = json!({ "name": "Quarterly report", "kind": "document", "data": { "pages": 12 } });
    let created = owner.post("/v1/resources", &body).await;
    insta::assert_snapshot!(created.show(), @"");
    let path = created.header("location").to_owned();

    insta::assert_snapshot!(owner.get(&path).await.show(), @"");

    let change = json!({ "name": "Quarterly report, final" });
    insta::assert_snapshot!(owner.patch(&path, &change).await.show(), @"");

    insta::assert_snapshot!(owner.get("/v1/resources").await.show(), @"");

    insta::assert_snapshot!(owner.delete(&path).await.show(), @"");
    insta::assert_snapshot!(owner.get(&path).await.show(), @"");
}
