//! Other issuers: which of them may be named, what they publish, and what their tokens say.
//!
//! Owns every request that leaves for an issuer, and the verification of tokens that others have signed. Knows no tenants, no
//! users and no database: what a verified token is good for is `bulkhead-auth`'s to say. Refuses addresses of private
//! networks, redirects, answers that are slow or large, and any key that a token brings along. `README.md` records the decisions.

pub mod address;
pub mod client;
pub mod cognito;
mod endpoint;
mod issuer;
pub mod issuers;
pub mod keys;
pub mod login;
pub mod metadata;
pub mod token;

pub use client::{Client, ClientError, FetchError};
pub use endpoint::{AllowedHosts, Endpoint, EndpointError};
pub use issuers::{Issuers, Source, Unavailable};
pub use keys::Keys;
pub use metadata::Metadata;
pub use token::{Claims, Expected, Kind, Presented, TokenError};
