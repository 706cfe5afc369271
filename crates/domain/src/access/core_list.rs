//! The core's permissions, each with the roles that hold it.

use super::declaration::PermissionList;

/// What the core declares; every registry begins with it.
pub const CORE: PermissionList =
    PermissionList { owner: "core", tenants: permission::ALL, operators: operator_permission::ALL };

/// What a tenant's principal may be allowed to do.
pub mod permission {
    crate::permissions! {
        /// See the tenant's people.
        READ_USERS = "read:users", held by [Owner, Admin, Developer];
        /// Add, change and remove the tenant's people.
        WRITE_USERS = "write:users", held by [Owner, Admin];
        /// Give and take away the role of an owner.
        WRITE_OWNERS = "write:owners", held by [Owner];
        /// See the tenant's roles, with what they hold.
        READ_ROLES = "read:roles", held by [Owner, Admin, Developer];
        /// Make, change and remove the tenant's own roles.
        WRITE_ROLES = "write:roles", held by [Owner, Admin];
        /// See the tenant's API keys (never their secrets).
        READ_API_KEYS = "read:api_keys", held by [Owner, Admin, Developer];
        /// Make and revoke API keys.
        WRITE_API_KEYS = "write:api_keys", held by [Owner, Admin, Developer];
        /// See the tenant's identity providers (never their secrets), and who is linked to which account there.
        READ_IDENTITY_PROVIDERS = "read:identity_providers", held by [Owner, Admin];
        /// Add, change and remove the tenant's identity providers, and link people to accounts there.
        WRITE_IDENTITY_PROVIDERS = "write:identity_providers", held by [Owner, Admin];
        /// See background jobs and operations.
        READ_JOBS = "read:jobs", held by [Owner, Admin, Developer, ReadOnly];
        /// See usage and usage reports.
        READ_USAGE = "read:usage", held by [Owner, Admin, Developer, ReadOnly];
        /// See scaling decisions.
        READ_SCALING = "read:scaling", held by [Owner, Admin, Developer, ReadOnly];
        /// See the audit log.
        READ_AUDIT = "read:audit", held by [Owner, Admin];
        /// See what the tenant allows the platform's operators.
        READ_SETTINGS = "read:settings", held by [Owner, Admin];
        /// Change that.
        WRITE_SETTINGS = "write:settings", held by [Owner];
    }
}

/// What an operator may be allowed to do.
pub mod operator_permission {
    crate::operator_permissions! {
        /// See tenants and their state.
        READ_TENANTS = "read:tenants", held by [Admin, Support, Billing];
        /// Create, change, suspend, activate, delete and restore tenants, and retry what they wait for.
        WRITE_TENANTS = "write:tenants", held by [Admin];
        /// See operations and jobs of the platform.
        READ_OPERATIONS = "read:operations", held by [Admin, Support];
        /// See every tenant's usage.
        READ_ALL_USAGE = "read:all_usage", held by [Admin, Support, Billing];
        /// See the keys that sign access tokens (never their private parts).
        READ_SIGNING_KEYS = "read:signing_keys", held by [Admin, Support];
        /// Replace and withdraw the keys that sign access tokens.
        WRITE_SIGNING_KEYS = "write:signing_keys", held by [Admin];
        /// See the operators' audit log.
        READ_AUDIT = "read:audit", held by [Admin, Support];
        /// See operators and the roles that they have.
        READ_OPERATORS = "read:operators", held by [Admin, Support];
        /// Add, change and remove operators, and make, change and remove their roles.
        WRITE_OPERATORS = "write:operators", held by [Admin];
        /// See operators' API keys (never their secrets).
        READ_OPERATOR_KEYS = "read:operator_keys", held by [Admin, Support];
        /// Make and revoke API keys of operators.
        WRITE_OPERATOR_KEYS = "write:operator_keys", held by [Admin];
        /// Act as a person of a tenant for a quarter of an hour.
        IMPERSONATE_TENANT = "impersonate:tenant", held by [Admin];
        /// See the identity providers of the platform and of tenants (never their secrets).
        READ_ALL_IDENTITY_PROVIDERS = "read:all_identity_providers", held by [Admin, Support];
        /// Add, change and remove identity providers of the platform, and remove those of tenants.
        WRITE_ALL_IDENTITY_PROVIDERS = "write:all_identity_providers", held by [Admin];
    }
}
