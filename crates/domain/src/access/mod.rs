//! Who may do what: permissions, the roles that hold them, and the registry of those that exist in a process.
//!
//! Permissions are open names. The core declares its own in [`CORE`], every other part of a program brings a [`PermissionList`],
//! and [`AccessRegistry::assemble`] joins the lists once at start: it numbers the permissions and makes a [`PermissionSet`] for
//! each role. From then on a check is the test of one bit. Refused at start, each with one line: a permission that is
//! declared twice, one that no role holds, and one that a role lacks although a role below it holds it.
//!
//! Beside the built-in roles a tenant may define roles of its own, and the platform roles of operators (`own.rs`), as names of
//! permissions and wildcards. They are
//! read by the registry of the program that asks, so that they hold what exists there. A principal with one carries its name; who
//! verifies it looks up what that holds.
//!
//! Tenants' permissions and operators' have types of their own, so that an operation of the one side cannot be opened with a
//! permission of the other by mistake; both are numbered in one row, so that no set of one side contains a bit of the
//! other.
//!
//! Rejected: closed enums (each new operation would be an edit of this crate); interned names (roles that tenants define would
//! grow the table without a bound); roles that grant by exception (each new permission went to developers and to
//! support).

mod core_list;
mod declaration;
mod own;
mod pattern;
mod registry;
mod role;
mod set;

pub use core_list::{CORE, operator_permission, permission};
pub use declaration::{OperatorPermission, OperatorPermissionDef, Permission, PermissionDef, PermissionList};
pub use own::{EntryError, Lacking, RoleContent, read_own_role};
pub use pattern::PermissionPattern;
pub use registry::{AccessError, AccessRegistry, Side, UnknownRole};
pub use role::{BuiltIn, BuiltInOperator, Role, RoleName};
pub use set::{PermissionBit, PermissionSet};

#[cfg(test)]
mod tests;
