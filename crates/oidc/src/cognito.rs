//! AWS Cognito: which pool an issuer is, and its own way to log in, with a name and a password and without a browser
//! (`USER_PASSWORD_AUTH`).
//!
//! Owns one request and the reading of its answers. A pool of users that asks for more than a password is told apart from a wrong
//! one; the further steps belong on Cognito's own pages.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use bulkhead_outbound::{Answer, Client, Endpoint, EndpointError, FetchError, Method, Outgoing, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::login::{ClientCredentials, IssuedTokens};

/// A pool, by its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolId {
    /// The region of AWS that it is in.
    pub region: String,
    /// What it is called there.
    pub id: String,
}

/// The issuer is none of a pool; a phrase that follows the name of what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be that of a pool: https://cognito-idp.REGION.amazonaws.com/POOL")]
pub struct NoPool;

impl PoolId {
    /// Reads the issuer of a pool: its region and its id are in it.
    pub fn of_issuer(issuer: &str) -> Result<Self, NoPool> {
        let rest = issuer.strip_prefix("https://cognito-idp.").ok_or(NoPool)?;
        let (host, id) = rest.split_once('/').ok_or(NoPool)?;
        let (region, rest) = host.split_once('.').ok_or(NoPool)?;
        let is_word = |text: &str| {
            let of_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            (1..=55).contains(&text.len()) && text.bytes().all(of_word)
        };
        if rest != domain(region) || !is_word(region) || !is_word(id) {
            return Err(NoPool);
        }
        Ok(Self { region: region.to_owned(), id: id.to_owned() })
    }

    /// Where the pool's API is.
    pub fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        let Self { region, .. } = self;
        Endpoint::parse(&format!("https://cognito-idp.{region}.{}/", domain(region)), false)
    }
}

/// What the names of a region's hosts end in.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

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
        body: body.as_bytes(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_named_by_its_issuer() {
        for (issuer, endpoint) in [
            (
                "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbC123",
                "https://cognito-idp.eu-central-1.amazonaws.com/",
            ),
            (
                "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x",
                "https://cognito-idp.cn-north-1.amazonaws.com.cn/",
            ),
        ] {
            assert_eq!(PoolId::of_issuer(issuer).unwrap().endpoint().unwrap().to_string(), endpoint);
        }
        for issuer in [
            "https://login.example.com",
            "https://login.example.com/eu-central-1_A",
            "http://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A",
            "https://cognito-idp.eu-central-1.amazonaws.com",
            "https://cognito-idp.eu-central-1.amazonaws.com/",
            "https://cognito-idp.eu-central-1.amazonaws.com/a/b",
            "https://cognito-idp.eu-central-1.amazonaws.com.evil.example/eu-central-1_A",
            "https://cognito-idp.eu-central-1.amazonaws.com.cn/eu-central-1_A",
            "https://cognito-idp.x@evil.example/amazonaws.com/a",
            "https://cognito-idp./a",
        ] {
            assert_eq!(PoolId::of_issuer(issuer), Err(NoPool), "{issuer}");
        }
    }
}
