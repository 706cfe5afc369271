//! The kit's tests against a program that breaks a promise: each of them fails, and says what is broken.
//!
//! The fault is planted in answers on their way from the real program to the test. What is documented for the operation stays
//! so: an answer that is not is another test's.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bulkhead_domain::{SchemaName, TenantId};
use bulkhead_testkit::{App, Asked, conformance as promises, with_fault};
use futures::FutureExt;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::support::{Answer, System};

/// How a promise fails when requests are answered with this fault.
async fn failure<F>(promise: impl AsyncFn(&App), fault: F) -> String
where
    F: Fn(&Asked<'_>, &mut Answer) + Send + Sync + 'static,
{
    let app = System::app().await;
    let kept = AssertUnwindSafe(with_fault(Box::new(fault), promise(app))).catch_unwind().await;
    let panic = kept.expect_err("the fault was not noticed");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

/// Changes an answer's body.
fn change(answer: &mut Answer, how: impl FnOnce(&mut Value)) {
    let mut body = answer.json();
    how(&mut body);
    answer.body = body.to_string();
}

/// Makes one problem into another.
fn become_problem(answer: &mut Answer, status: u16, code: &str) {
    answer.status = status;
    if ![401, 403].contains(&status) {
        answer.headers.remove("www-authenticate");
    }
    change(answer, |body| {
        body["status"] = json!(status);
        body["code"] = json!(code);
    });
}

/// Makes a success into a problem.
fn refuse(answer: &mut Answer, status: u16, code: &str) {
    let id = answer.header("x-request-id").to_owned();
    for name in ["etag", "location"] {
        answer.headers.remove(name);
    }
    answer.headers.insert("content-type", HeaderValue::from_static("application/problem+json"));
    let words = json!({ "type": "t", "title": "t", "detail": "d", "request_id": id });
    answer.body = words.to_string();
    become_problem(answer, status, code);
}

/// Adds rows to a list.
fn add_rows(answer: &mut Answer, rows: &[Value]) {
    change(answer, |body| body["data"].as_array_mut().unwrap().extend_from_slice(rows));
}

/// A test for each: the promise, what it says when it fails, and the fault: an operation, and what becomes of its answers.
macro_rules! faults {
    ($($name:ident: $promise:ident says $said:literal when $operation:literal $fault:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            let failure = failure(promises::$promise, |asked, answer| {
                let fault: fn(&Asked<'_>, &mut Answer) = $fault;
                if asked.operation == $operation {
                    fault(asked, answer);
                }
            });
            let failure = failure.await;
            assert!(failure.contains($said), "{failure}");
        }
    )+};
}

faults! {
    an_undocumented_member: every_operation_answers_as_documented says "/colour: is not documented"
        when "list_resources" |_, answer| add_rows(answer, &[json!({ "colour": "red" })]);
    an_undocumented_status: every_operation_answers_as_documented says "is not documented"
        when "get_resource" |_, answer| answer.status = 299;
    an_undocumented_header: every_operation_answers_as_documented says "link is not documented"
        when "get_me" |_, answer| drop(answer.headers.insert("link", HeaderValue::from_static("<x>")));
    another_refusal_of_the_right_body: every_operation_answers_as_documented says "create_resource"
        when "create_resource" |_, answer| if answer.status == 201 { refuse(answer, 422, "validation-failed") };
    a_credential_that_is_not_asked_for: every_operation_but_the_public_ones_wants_a_credential
        says "list_users (GET /v1/users) without a credential"
        when "list_users" |_, answer| become_problem(answer, 401, "invalid-credentials");
    another_tenants_thing_that_is_forbidden: another_tenants_id_is_answered_like_one_that_exists_nowhere
        says "delete_resource (DELETE /v1/resources/{id}) of another tenant"
        when "delete_resource" |_, answer| if answer.status == 404 { become_problem(answer, 403, "insufficient-permission") };
    a_refusal_that_tells_two_ids_apart: another_tenants_id_is_answered_like_one_that_exists_nowhere
        says "get_user"
        when "get_user" |asked, answer| if answer.status == 404 { change(answer, |body| body["detail"] = json!(asked.path)) };
    a_thing_that_nobody_finds: another_tenants_id_is_answered_like_one_that_exists_nowhere
        says "refuses the tenant's own id alike"
        when "get_api_key" |_, answer| if answer.status == 200 { refuse(answer, 404, "not-found") };
    a_list_that_shows_nothing: whatever_a_tenant_reads_is_its_own says "does not show"
        when "list_api_keys" |_, answer| change(answer, |body| body["data"] = json!([]));
    a_role_that_may_more: an_operation_is_refused_exactly_when_the_role_lacks_its_permission
        says "read_only is admitted to get_user"
        when "get_user" |_, answer| if answer.status == 403 { become_problem(answer, 404, "not-found") };
    a_role_that_may_less: an_operation_is_refused_exactly_when_the_role_lacks_its_permission
        says "is admitted to get_resource"
        when "get_resource" |_, answer| if answer.status == 404 { become_problem(answer, 403, "insufficient-permission") };
    a_refusal_that_names_no_scope: an_operation_is_refused_exactly_when_the_role_lacks_its_permission
        says "names no scope of it"
        when "list_users" |_, answer| drop(answer.headers.remove("www-authenticate"));
    a_row_that_is_skipped: a_list_is_the_same_in_many_pages_and_in_one says "list_resources"
        when "list_resources" |asked, answer| if asked.path.contains("limit=2") {
            change(answer, |body| drop(body["data"].as_array_mut().unwrap().pop()));
        };
    a_row_that_is_shown_twice: a_list_is_the_same_in_many_pages_and_in_one says "twice"
        when "list_tenants" |_, answer| {
            let rows = answer.json()["data"].as_array().unwrap().clone();
            add_rows(answer, &rows);
        };
    a_filter_that_is_ignored: a_filter_shows_what_it_says says "list_resources (GET /v1/resources) with kind="
        when "list_resources" |asked, answer| if asked.path.contains("kind=") {
            let mut row = answer.json()["data"][0].clone();
            row["kind"] = json!("another");
            add_rows(answer, &[row]);
        };
    a_filter_that_shows_too_little: a_filter_shows_what_it_says says "does not show"
        when "list_tenants" |asked, answer| if asked.path.contains("slug=") {
            change(answer, |body| body["data"] = json!([]));
        };
    a_body_that_is_refused_as_another: bodies_that_do_not_fit_are_refused says "create_resource"
        when "create_resource" |_, answer| if answer.status == 422 { become_problem(answer, 422, "validation-failed") };
    a_number_in_the_wrong_place: a_number_out_of_range_is_told_where_it_stands says "update_user"
        when "update_user" |_, answer| change(answer, |body| body["errors"][0]["pointer"] = json!("/name"));
    a_type_that_is_not_looked_at: only_declared_json_is_read says "create_api_key"
        when "create_api_key" |_, answer| if answer.status == 415 { become_problem(answer, 400, "malformed-json") };
    a_body_without_a_limit: a_body_over_the_limit_is_refused says "create_user"
        when "create_user" |_, answer| if answer.status == 413 { become_problem(answer, 400, "malformed-json") };
    a_text_in_other_letters: what_is_sent_is_kept_or_refused says "became"
        when "create_resource" |_, answer| if answer.status == 201 {
            change(answer, |body| body["kind"] = json!(body["kind"].as_str().unwrap_or_default().to_lowercase()));
        };
    a_null_that_is_not_named: null_is_refused_by_name_where_the_document_does_not_allow_it says "create_user"
        when "create_user" |_, answer| if answer.status == 422 {
            change(answer, |body| body["errors"][0]["pointer"] = json!(""));
        };
    a_limit_that_is_taken_for_another: a_page_that_cannot_be_is_refused says "list_jobs"
        when "list_jobs" |_, answer| become_problem(answer, 403, "insufficient-permission");
    a_parameter_that_is_ignored: a_parameter_that_is_not_there_is_refused says "list_users"
        when "list_users" |_, answer| become_problem(answer, 403, "insufficient-permission");
    an_id_that_is_read_differently: what_is_no_id_names_nothing says "get_operation"
        when "get_operation" |_, answer| if answer.status == 404 { become_problem(answer, 400, "invalid-parameter") };
    a_key_that_is_no_key: a_key_that_is_none_is_refused says "create_user"
        when "create_user" |_, answer| if answer.status == 400 { become_problem(answer, 422, "validation-failed") };
    a_version_that_is_no_version: a_version_that_is_none_is_refused says "delete_resource"
        when "delete_resource" |_, answer| become_problem(answer, 412, "precondition-failed");
    an_answer_that_is_not_given_again: a_repeated_request_is_done_once
        says "create_resource (POST /v1/resources) repeated"
        when "create_resource" |_, answer| if answer.header("idempotent-replayed") == "true" {
            change(answer, |body| body["version"] = json!(99));
        };
}

#[tokio::test]
async fn rows_of_others_in_a_list() {
    for (when, said) in [("", "shows"), ("cursor=", "from a foreign cursor")] {
        let made = Mutex::new(Vec::new());
        let failure = failure(promises::whatever_a_tenant_reads_is_its_own, move |asked, answer| {
            let mut made = made.lock().unwrap();
            match asked.operation {
                "create_resource" => made.push(answer.json()),
                "list_resources" if asked.path.contains(when) => add_rows(answer, &made),
                _ => {}
            }
        });
        let failure = failure.await;
        assert!(failure.contains("list_resources") && failure.contains(said), "{failure}");
    }
}

#[tokio::test]
async fn a_write_into_the_rows_of_another() {
    let app = System::app().await;
    let failure = failure(promises::whatever_a_tenant_makes_is_its_own, |asked, answer| {
        // A key that is named after another tenant.
        let name = answer.status == 201 && asked.operation == "create_api_key";
        if let Some(tenant) = name.then(|| answer.at("/name").parse::<TenantId>().ok()).flatten() {
            app.sql(&format!("UPDATE {}.users SET version = version + 1", SchemaName::of(tenant)));
        }
    });
    assert!(failure.await.contains("a row of another tenant has changed"));
}

#[tokio::test]
async fn a_key_that_belongs_to_everybody() {
    let made = AtomicUsize::new(0);
    let failure = failure(promises::a_repeated_request_is_done_once, move |asked, answer| {
        if asked.operation == "create_api_key"
            && answer.status == 201
            && made.fetch_add(1, Ordering::Relaxed) == 1
        {
            answer.headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
    });
    let failure = failure.await;
    assert!(failure.contains("with the key of another tenant"), "{failure}");
}

#[tokio::test]
async fn an_entry_that_does_not_say_from_where() {
    let app = System::app().await;
    let failure = failure(promises::every_write_is_in_the_audit_log, |asked, answer| {
        if asked.operation == "create_tenant" {
            let id = answer.header("x-request-id");
            app.sql(&format!("UPDATE platform.audit_log SET address = NULL WHERE request_id = '{id}'"));
        }
    });
    let failure = failure.await;
    assert!(failure.contains("create_tenant"), "{failure}");
}
