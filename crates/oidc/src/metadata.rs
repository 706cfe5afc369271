//! What an issuer says of itself (`OpenID` Connect Discovery 1.0).

use bulkhead_outbound::{Endpoint, EndpointError, FetchError};
use serde::Deserialize;

/// Where the document lies, below the issuer.
const PATH: &str = "/.well-known/openid-configuration";

/// Where an issuer's keys are, and where people and codes are sent.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Where its keys are.
    pub jwks: Endpoint,
    /// Where a browser is sent to log in; `None` when the issuer has no such page.
    pub authorization: Option<Endpoint>,
    /// Where a code is exchanged for tokens.
    pub token: Option<Endpoint>,
    /// Whether the client's secret goes into the body instead of a header.
    pub secret_in_body: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// The address of an issuer's document.
pub(crate) fn address(issuer: &str, private_allowed: bool) -> Result<Endpoint, EndpointError> {
    Endpoint::parse(&format!("{}{PATH}", issuer.trim_end_matches('/')), private_allowed)
}

impl Metadata {
    /// Reads the document that `issuer` has answered with. It must be about exactly this issuer: else one could speak for
    /// another. The addresses in it may lie on other hosts, as large issuers have it; where they lead is judged when they are
    /// connected to.
    pub(crate) fn read(json: &[u8], issuer: &str, private_allowed: bool) -> Result<Self, FetchError> {
        let unusable = FetchError::Unusable;
        let document: Document =
            serde_json::from_slice(json).map_err(|_json| unusable("it is no discovery document"))?;
        if document.issuer != issuer {
            return Err(unusable("it is about another issuer"));
        }
        let endpoint = |text: &str| {
            Endpoint::parse(text, private_allowed).map_err(|_form| unusable("an address in it is not https"))
        };
        let methods = document.token_endpoint_auth_methods_supported.unwrap_or_default();
        let has = |method: &str| methods.iter().any(|one| one == method);
        Ok(Self {
            jwks: endpoint(&document.jwks_uri)?,
            authorization: document.authorization_endpoint.as_deref().map(endpoint).transpose()?,
            token: document.token_endpoint.as_deref().map(endpoint).transpose()?,
            secret_in_body: has("client_secret_post") && !has("client_secret_basic"),
        })
    }
}
