//! Scaling decisions of the caller's tenant.

mod list_decisions;

use bulkhead_domain::permission;

use crate::http::operation::{Access, operations};

operations! {
    list_decisions::list_scaling_decisions => Access::Tenant(permission::READ_SCALING), [], List;
}
