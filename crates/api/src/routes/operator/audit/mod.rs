//! The operators' audit log.

mod export;
mod list;

use bulkhead_domain::operator_permission;

use crate::http::operation::{Access, operations};

operations! {
    list::list_platform_audit => Access::Operator(operator_permission::READ_AUDIT), [], Page;
    export::export_platform_audit => Access::Operator(operator_permission::READ_AUDIT), [], Page;
}
