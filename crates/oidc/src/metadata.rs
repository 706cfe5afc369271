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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://login.example.com";

    fn read(more: (&str, Value)) -> Result<Metadata, FetchError> {
        let mut document = json!({
            "issuer": ISSUER,
            "jwks_uri": "https://keys.example.com/keys",
            "authorization_endpoint": "https://login.example.com/authorize",
            "token_endpoint": "https://login.example.com/token",
        });
        document[more.0] = more.1;
        Metadata::read(document.to_string().as_bytes(), ISSUER, false)
    }

    /// Nothing is fetched, and nobody is sent, where others could listen.
    #[test]
    fn what_a_document_names_is_https_and_its_own_issuer_is_the_one_that_was_asked() {
        let good = read(("other", json!(true))).unwrap();
        assert_eq!(good.jwks.url().as_str(), "https://keys.example.com/keys");
        assert!(!good.secret_in_body);
        for name in ["jwks_uri", "authorization_endpoint", "token_endpoint"] {
            for address in [
                "http://login.example.com/x",
                "ftp://login.example.com",
                "/keys",
                "",
                "https://a:b@example.com",
            ] {
                assert!(read((name, json!(address))).is_err(), "{name} {address}");
            }
        }
        for issuer in ["https://login.example.com/", "https://login.example.org", ""] {
            assert!(read(("issuer", json!(issuer))).is_err(), "{issuer}");
        }
        assert!(read(("jwks_uri", Value::Null)).is_err());
        assert!(read(("token_endpoint", Value::Null)).unwrap().token.is_none());
        assert!(address("http://login.example.com", false).is_err());
    }
}
