//! What bulkhead promises of every operation and every migration, held against the application that runs.
//!
//! Each function here is one promise, and one test of [`conformance!`](crate::conformance!). It goes through all operations of
//! the OpenAPI document that the promise is about, or through all migrations of tenants' schemas, and fails when there is none,
//! with the name of the one that breaks it.

mod aim;
mod audit;
mod bodies;
mod document;
mod filters;
mod headers;
mod idempotency;
mod isolation;
mod lists;
mod migrations;
mod nulls;
mod queries;
mod roles;
mod secrets;

#[doc(hidden)]
pub use aim::Aim;
pub use audit::every_write_is_in_the_audit_log;
#[doc(hidden)]
pub use bodies::places;
pub use bodies::{
    a_body_over_the_limit_is_refused, a_number_out_of_range_is_told_where_it_stands,
    bodies_that_do_not_fit_are_refused, only_declared_json_is_read, what_is_sent_is_kept_or_refused,
};
pub use document::{
    every_list_says_what_its_cursor_promises, every_operation_answers_as_documented,
    every_operation_has_a_fixture, what_stands_as_an_example_fits,
};
pub use filters::a_filter_shows_what_it_says;
pub use headers::{a_key_that_is_none_is_refused, a_version_that_is_none_is_refused};
pub use idempotency::a_repeated_request_is_done_once;
pub use isolation::{
    another_tenants_id_is_answered_like_one_that_exists_nowhere, whatever_a_tenant_makes_is_its_own,
    whatever_a_tenant_reads_is_its_own,
};
pub use lists::a_list_is_the_same_in_many_pages_and_in_one;
pub use migrations::{
    a_new_tenant_has_what_an_upgraded_one_has, every_foreign_key_has_an_index,
    every_migration_can_be_taken_back,
};
pub use nulls::null_is_refused_by_name_where_the_document_does_not_allow_it;
pub use queries::{
    a_page_that_cannot_be_is_refused, a_parameter_that_is_not_there_is_refused, what_is_no_id_names_nothing,
};
pub use roles::{
    an_operation_is_refused_exactly_when_the_role_lacks_its_permission,
    every_operation_but_the_public_ones_wants_a_credential, the_document_shows_who_may_do_what,
    what_is_a_persons_own_is_for_people_alone,
};
pub use secrets::no_secret_is_found_in_tables_redis_logs_or_metrics;

/// Makes a test of each promise of [`conformance`](mod@crate::conformance) for an application: the expression is a future of
/// `&App`, like [`App::start`](crate::App::start) returns it.
#[macro_export]
macro_rules! conformance {
    ($app:expr) => {
        $crate::conformance! { $app =>
            every_operation_has_a_fixture
            every_operation_answers_as_documented
            every_operation_but_the_public_ones_wants_a_credential
            another_tenants_id_is_answered_like_one_that_exists_nowhere
            whatever_a_tenant_reads_is_its_own
            whatever_a_tenant_makes_is_its_own
            an_operation_is_refused_exactly_when_the_role_lacks_its_permission
            the_document_shows_who_may_do_what
            what_is_a_persons_own_is_for_people_alone
            what_stands_as_an_example_fits
            every_list_says_what_its_cursor_promises
            a_list_is_the_same_in_many_pages_and_in_one
            a_filter_shows_what_it_says
            bodies_that_do_not_fit_are_refused
            a_number_out_of_range_is_told_where_it_stands
            only_declared_json_is_read
            a_body_over_the_limit_is_refused
            what_is_sent_is_kept_or_refused
            null_is_refused_by_name_where_the_document_does_not_allow_it
            a_page_that_cannot_be_is_refused
            a_parameter_that_is_not_there_is_refused
            what_is_no_id_names_nothing
            a_key_that_is_none_is_refused
            a_version_that_is_none_is_refused
            a_repeated_request_is_done_once
            every_write_is_in_the_audit_log
            every_migration_can_be_taken_back
            a_new_tenant_has_what_an_upgraded_one_has
            every_foreign_key_has_an_index
            no_secret_is_found_in_tables_redis_logs_or_metrics
        }
    };
    ($app:expr => $($promise:ident)+) => {$(
        #[test]
        fn $promise() {
            $crate::conformance::run(async { $crate::conformance::$promise($app.await).await });
        }
    )+};
}

/// Runs a test to its end.
#[doc(hidden)]
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}
