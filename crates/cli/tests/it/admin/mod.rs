//! What operators do.

mod impersonation;
mod lifecycle;
mod operator_keys;
mod operators;
mod signing_keys;
mod tenants;
mod usage;

use serde_json::json;

use crate::support::{Answer, Caller, System};

/// Has an operator whom `by` has added set their password. A test beside this one may change a role, which takes back all tokens
/// that are waiting: then the operator is invited again.
pub(crate) async fn set_password(system: &System, by: &Caller<'_>, added: &Answer, password: &str) {
    let mut token = added.at("/token");
    for _ in 0..5 {
        let body = json!({ "token": token, "new_password": password });
        let set = system.anonymous().post("/v1/auth/password/reset", &body).await;
        if set.status != 422 {
            set.expect(204);
            return;
        }
        let again = format!("/v1/admin/operators/{}/invitation", added.at("/id"));
        token = by.post_nothing(&again).await.expect(201).at("/token");
    }
    panic!("no token of five could be used");
}
