//! Background jobs of the caller's tenant.

mod list;

use bulkhead_domain::permission;

use crate::http::operation::{Access, operations};

operations! {
    list::list_jobs => Access::Tenant(permission::READ_JOBS), [], List;
}
