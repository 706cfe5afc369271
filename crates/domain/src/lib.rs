//! What exists in Bulkhead, as plain types.
//!
//! Owns the vocabulary that every other crate speaks: ids, tenants, roles and permissions, API keys, plans and limits,
//! networks, meters, scaling decisions, the clock, the pause between two attempts. Values are parsed once, at the edge, into
//! types that cannot hold anything invalid. Refuses all I/O: nothing here knows of tokio, PostgreSQL, Redis or HTTP.

pub mod access;
pub mod address_range;
pub mod api_key;
pub mod backoff;
pub mod clock;
pub mod email;
pub mod id;
pub mod json;
pub mod limit;
pub mod mac;
pub mod metering;
pub mod network;
pub mod proven;
pub mod scaling;
pub mod tenant;
pub mod text;

pub use access::{
    AccessRegistry, OperatorPermission, Permission, PermissionBit, PermissionSet, Role, RoleName,
    operator_permission, permission,
};
pub use address_range::AddressRange;
pub use clock::{Clock, SystemClock};
pub use email::Email;
pub use id::{
    ApiKeyId, AuditEntryId, FederatedIdentityId, IdError, IdentityProviderId, JobId, OneTimeTokenId,
    OperatorId, OperatorKeyId, SessionId, TenantId, UserId,
};
pub use json::{JsonContent, JsonFault, JsonObject};
pub use limit::{Limit, PlanName};
pub use mac::Mac;
pub use network::{Network, Site};
pub use proven::{Evidence, Proven};
pub use tenant::{SchemaName, Slug, TenantStatus};
pub use text::{Text, TextError};
