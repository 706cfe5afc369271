//! Logging in at an issuer: where a browser is sent, and what the code is worth that it comes back with.
//!
//! Owns the authorization code flow with PKCE (RFC 7636, S256), as a client. Refuses the other flows: tokens never pass through
//! a browser.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bulkhead_outbound::{Answer, Client, Endpoint, FetchError, Method, Outgoing, StatusCode};
use serde::Deserialize;
use url::form_urlencoded;

use crate::metadata::Metadata;

/// Who we are at an issuer.
#[derive(Clone, Copy)]
pub struct ClientCredentials<'a> {
    /// Our name there.
    pub id: &'a str,
    /// What proves it, if there is something.
    pub secret: Option<&'a str>,
}

/// The secret stays out of logs.
impl std::fmt::Debug for ClientCredentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientCredentials({})", self.id)
    }
}

/// What a browser takes to the issuer.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// Our name there.
    pub client_id: &'a str,
    /// Where it comes back to.
    pub redirect_uri: &'a str,
    /// What is asked for.
    pub scopes: &'a [String],
    /// What it brings back.
    pub state: &'a str,
    /// What the id token has to say.
    pub nonce: &'a str,
    /// What proves at the exchange that it is us who have asked.
    pub verifier: &'a str,
}

/// The tokens that a code was worth. Nothing of them is verified.
#[derive(Deserialize)]
pub struct IssuedTokens {
    /// The id token.
    pub id_token: String,
    /// The access token, which the id token may name.
    pub access_token: Option<String>,
}

/// Tokens stay out of logs.
impl std::fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IssuedTokens")
    }
}

/// Why a code was worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The issuer does not take the code, or not from us.
    #[error("the issuer does not take the code")]
    Refused,
    /// The issuer cannot be asked, or has no place for codes.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// The challenge of a verifier.
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// The address to send a browser to; `None` when the issuer has no page to log in on.
pub fn authorization_url(metadata: &Metadata, request: &AuthorizationRequest<'_>) -> Option<String> {
    let mut url = metadata.authorization.as_ref()?.url().clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", request.client_id)
        .append_pair("redirect_uri", request.redirect_uri)
        .append_pair("scope", &request.scopes.join(" "))
        .append_pair("state", request.state)
        .append_pair("nonce", request.nonce)
        .append_pair("code_challenge", &challenge(request.verifier))
        .append_pair("code_challenge_method", "S256");
    Some(url.into())
}

/// Exchanges a code for tokens.
pub async fn exchange(
    client: &Client,
    metadata: &Metadata,
    credentials: ClientCredentials<'_>,
    (code, redirect_uri, verifier): (&str, &str, &str),
) -> Result<IssuedTokens, ExchangeError> {
    let endpoint: &Endpoint =
        metadata.token.as_ref().ok_or(FetchError::Unusable("the issuer exchanges no codes"))?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("client_id", credentials.id)
        .append_pair("code_verifier", verifier);
    let mut headers = Vec::new();
    if let Some(secret) = credentials.secret {
        if metadata.secret_in_body {
            form.append_pair("client_secret", secret);
        } else {
            let written = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", written(credentials.id), written(secret));
            headers.push(("authorization", format!("Basic {}", STANDARD.encode(pair))));
        }
    }
    let body = form.finish();
    let outgoing = Outgoing {
        method: &Method::POST,
        content_type: Some("application/x-www-form-urlencoded"),
        headers: &headers,
        body: body.as_bytes(),
    };
    match client.send(endpoint, outgoing).await? {
        Answer { status: StatusCode::OK, body } => serde_json::from_slice(&body)
            .map_err(|_json| FetchError::Unusable("it has answered without an id token").into()),
        // RFC 6749, section 5.2: the code, or the client, is not good.
        Answer { status: StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED, .. } => {
            Err(ExchangeError::Refused)
        }
        Answer { status, .. } => Err(FetchError::Status(status.as_u16()).into()),
    }
}
