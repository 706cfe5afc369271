//! Business objects, as tests make them.

use bulkhead_testkit::{Tenant, json};

/// A tenant that has business objects.
pub(crate) trait MakesResources {
    /// Makes one with this name; its id.
    async fn resource(&self, name: &str) -> String;
}

impl MakesResources for Tenant<'_> {
    async fn resource(&self, name: &str) -> String {
        let body = json!({ "name": name, "kind": "document", "data": { "pages": 12 } });
        self.owner.caller.post("/v1/resources", &body).await.expect(201).at("/id")
    }
}
