//! What leaves over HTTP: where it may go, how it is sent, and how long that may take.
//!
//! Owns every connection that this product opens to somebody's HTTP server. Knows nothing of who is asked and why: issuers are
//! `bulkhead-oidc`'s, AWS is `bulkhead-aws`'s. Refuses redirects, proxies of the environment, cookies, answers without a bound and
//! connections that are used twice.

pub mod address;
mod client;
mod endpoint;

pub use client::{Answer, Bounds, Client, ClientError, FetchError, Outgoing, Reach};
pub use endpoint::{Endpoint, EndpointError, LONGEST};
pub use hyper::{Method, StatusCode};
