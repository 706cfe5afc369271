//! Operations: long work that a client waits for.

mod get;

use bulkhead_domain::{operator_permission, permission};

use crate::http::operation::{Access, operations};

operations! {
    get::get_operation => Access::Either(permission::READ_JOBS, operator_permission::READ_OPERATIONS), [];
}
