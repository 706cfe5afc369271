//! Background jobs of the caller's tenant.

mod list;

use bulkhead_domain::Permission;

use crate::http::operation::{Access, operations};

operations! {
    list::list_jobs => Access::Tenant(Permission::ReadJobs), [], List;
}
