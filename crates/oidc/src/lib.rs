//! Other issuers: which of them may be named, what they publish, and what their tokens say.
//!
//! Owns what issuers are asked for and when, and the verification of tokens that others have signed. Knows no tenants, no
//! users and no database: what a verified token is good for is `bulkhead-auth`'s to say. Refuses addresses of private
//! networks, redirects, answers that are slow or large, and any key that a token brings along. `README.md` records the decisions.

pub mod cognito;
mod hosts;
mod issuer;
pub mod issuers;
pub mod keys;
pub mod login;
pub mod metadata;
pub mod token;

pub use bulkhead_outbound::{Client, Endpoint};
pub use hosts::{AllowedHosts, EndpointError, HostError};
pub use issuers::{Issuers, Source, Unavailable, client};
pub use keys::Keys;
pub use metadata::Metadata;
pub use token::{Claims, Expected, Kind, Presented, TokenError};
