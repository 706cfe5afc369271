//! Callers who mean harm, or whose software does: each gets a documented refusal, and nothing comes of it.
//!
//! Operations are taken from the OpenAPI document, so that a new one meets the same callers. That every answer is a
//! documented problem, and none a failure of ours, is checked for every request of every test.

mod bodies;
pub(crate) mod credentials;
mod headers;
mod nulls;
mod queries;
mod socket;

use bulkhead_domain::RoleName;
use serde_json::{Value, json};

use crate::support::{Call, Caller, Operation, System, Tenant, unique};

/// A tenant that is aimed at, and a mark on every request of a test.
struct Aim<'a> {
    tenant: Tenant<'a>,
    operator: Caller<'a>,
    user: String,
    key: String,
    resource: String,
    rows: String,
    mark: String,
}

impl<'a> Aim<'a> {
    async fn take(system: &'a System) -> Self {
        let tenant = system.tenant().await;
        let (user, key) =
            (tenant.person(RoleName::READ_ONLY).await.id, tenant.key(RoleName::DEVELOPER).await.id);
        let resource = tenant.resource("a thing").await;
        let (operator, rows) = (system.operator().await, tenant.rows());
        Self { tenant, operator, user, key, resource, rows, mark: format!("hostile-{}", unique()) }
    }

    /// Who may call an operation.
    fn caller(&self, operation: &Operation) -> Caller<'a> {
        match operation {
            public if public.is_public() => self.tenant.system.anonymous(),
            theirs if theirs.is_for_operators() => self.operator.clone(),
            _ => self.tenant.owner.caller.clone(),
        }
    }

    /// The id of something that the operation could work on.
    fn id(&self, operation: &Operation) -> String {
        let id = match operation.path.split("/{id}").next().unwrap() {
            "/v1/users" => &self.user,
            "/v1/api-keys" => &self.key,
            "/v1/resources" => &self.resource,
            "/v1/operations" => &self.tenant.operation,
            "/v1/admin/tenants" => &self.tenant.id,
            other => panic!("nobody has said what {other}/{{id}} is"),
        };
        id.clone()
    }

    /// The operation, on something that is there.
    fn path(&self, operation: &Operation) -> String {
        if operation.takes_id() { operation.path_of(&self.id(operation)) } else { operation.path.clone() }
    }

    /// A marked request.
    fn call(&self, operation: &Operation, path: &str) -> Call<'a> {
        self.caller(operation).call(&operation.method, path).header("x-request-id", &self.mark)
    }

    /// Fails when anything has come of the requests.
    fn assert_missed(&self) {
        assert_eq!(self.tenant.rows(), self.rows);
        let sql = format!("SELECT * FROM platform.audit_log WHERE request_id = '{}'", self.mark);
        assert_eq!(self.tenant.system.sql(&sql), "");
        self.tenant.system.assert_sound();
    }
}

/// A body that the operation takes.
fn sound_body(operation: &Operation) -> Value {
    match operation.id.as_str() {
        "login" => json!({ "tenant": "acme", "email": "a@example.com", "password": "correct horse" }),
        "refresh" | "logout" => json!({ "refresh_token": "bh_rt_" }),
        "create_user" => {
            json!({ "email": format!("{}@example.com", unique()), "password": "correct horse", "role": "admin" })
        }
        "update_user" => json!({ "role": "developer" }),
        "create_api_key" => json!({ "name": "a key", "role": "admin", "expires_at": "2999-01-01T00:00:00Z" }),
        "create_resource" | "update_resource" => json!({ "name": "a", "kind": "b", "data": { "c": ["d"] } }),
        "create_tenant" => {
            let owner = json!({ "email": "a@example.com", "password": "correct horse" });
            json!({ "slug": format!("acme-{}", unique()), "name": "a", "plan": "free", "owner": owner })
        }
        "update_tenant" => json!({ "name": "a", "plan": "enterprise" }),
        other => panic!("nobody has said what {other} takes"),
    }
}
