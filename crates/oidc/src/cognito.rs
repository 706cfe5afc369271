//! AWS Cognito's own way to log in: a name and a password, without a browser (`USER_PASSWORD_AUTH`).
//!
//! Owns one request and the reading of its answers. A pool of users that asks for more than a password is told apart from a wrong
//! one; the further steps belong on Cognito's own pages.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::{
    client::{Answer, Client, FetchError, Outgoing},
    endpoint::Endpoint,
    login::{ClientCredentials, IssuedTokens},
};

/// Why a password was worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum PasswordLoginError {
    /// There is no such user, or it is another password; which, is not told.
    #[error("the name or the password is wrong")]
    Wrong,
    /// The pool asks for more: a second factor, a new password.
    #[error("the pool asks for {0}")]
    Challenge(String),
    /// The pool lets nobody in for a while, or not in this way.
    #[error("the pool refuses: {0}")]
    Refused(String),
    /// It cannot be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Initiated {
    authentication_result: Option<Authenticated>,
    challenge_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Authenticated {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "__type", default)]
    kind: String,
}

/// What a client with a secret has to show beside it: an HMAC of the user's name and its own.
fn secret_hash(credentials: ClientCredentials<'_>, username: &str) -> Option<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, credentials.secret?.as_bytes());
    Some(STANDARD.encode(hmac::sign(&key, format!("{username}{}", credentials.id).as_bytes())))
}

/// The tokens that a name and a password are worth.
pub async fn log_in(
    client: &Client,
    api: &Endpoint,
    credentials: ClientCredentials<'_>,
    username: &str,
    password: &str,
) -> Result<IssuedTokens, PasswordLoginError> {
    let mut parameters = json!({ "USERNAME": username, "PASSWORD": password });
    if let (Some(hash), Some(parameters)) = (secret_hash(credentials, username), parameters.as_object_mut()) {
        parameters.insert("SECRET_HASH".to_owned(), hash.into());
    }
    let body =
        json!({ "AuthFlow": "USER_PASSWORD_AUTH", "ClientId": credentials.id, "AuthParameters": parameters });
    let body = body.to_string();
    let target = "AWSCognitoIdentityProviderService.InitiateAuth".to_owned();
    let outgoing = Outgoing {
        method: &Method::POST,
        content_type: Some("application/x-amz-json-1.1"),
        headers: &[("x-amz-target", target)],
        body: &body,
    };
    let Answer { status, body } = client.send(api, outgoing).await?;
    match status {
        StatusCode::OK => {
            let unusable = |_json| FetchError::Unusable("it is no answer of Cognito's");
            let Initiated { authentication_result, challenge_name } =
                serde_json::from_slice(&body).map_err(unusable)?;
            match (authentication_result, challenge_name) {
                (Some(Authenticated { id_token, access_token }), _) => {
                    Ok(IssuedTokens { id_token, access_token })
                }
                (None, Some(name)) => Err(PasswordLoginError::Challenge(name)),
                (None, None) => Err(FetchError::Unusable("it has answered without tokens").into()),
            }
        }
        StatusCode::BAD_REQUEST => {
            let failure =
                serde_json::from_slice::<Failure>(&body).map_or_else(|_json| String::new(), |told| told.kind);
            // A name in front of it, with a hash behind, as some versions of the protocol have it.
            let kind = failure.rsplit('#').next().unwrap_or_default();
            match kind {
                "NotAuthorizedException" | "UserNotFoundException" => Err(PasswordLoginError::Wrong),
                other => Err(PasswordLoginError::Refused(other.chars().take(80).collect())),
            }
        }
        other => Err(FetchError::Status(other.as_u16()).into()),
    }
}
