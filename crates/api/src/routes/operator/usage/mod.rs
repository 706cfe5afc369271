//! Usage of all tenants, for billing.

mod export;
mod report_all;
mod report_tenant;

use bulkhead_domain::operator_permission;

use crate::http::operation::{Access, operations};

operations! {
    report_all::get_all_usage_report => Access::Operator(operator_permission::READ_ALL_USAGE), [], Page;
    report_tenant::get_tenant_usage_report => Access::Operator(operator_permission::READ_ALL_USAGE), [];
}
