//! People in a pool of Cognito, as its administrator sees them.
//!
//! Owns three operations: to look for somebody, to add them, to remove them. Tells apart what the pool refuses for good, what may
//! pass, and what is no failure: that somebody is there already, or not any more.

use std::collections::BTreeMap;

use bulkhead_outbound::{Answer, Client, Endpoint, FetchError, Method, Outgoing, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Aws, AwsError, Scope, Service};

/// Somebody who is in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUser {
    /// Their name there, which need not be what they log in with.
    pub username: String,
    /// What the pool knows of them, `sub` among it.
    pub attributes: BTreeMap<String, String>,
}

/// What became of a person who was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// They were added.
    Now(PoolUser),
    /// Somebody of that name is there already.
    Exists,
}

/// Why a pool has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It never will.
    #[error("the pool refuses: {0}")]
    Refused(String),
    /// It may, another time, or when somebody has put something right.
    #[error(transparent)]
    Passing(#[from] AwsError),
}

impl PoolError {
    /// Whether the pool has answered at all.
    pub const fn is_answered(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Passing(error) => error.is_answered(),
        }
    }
}

/// What a pool says about a person or itself that does not change by asking again.
const FOR_GOOD: [&str; 7] = [
    "AliasExistsException",
    "InvalidParameterException",
    "InvalidPasswordException",
    "PreconditionNotMetException",
    "ResourceNotFoundException",
    "UnsupportedUserStateException",
    "UserLambdaValidationException",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    username: String,
    #[serde(default)]
    user_attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    user: CreatedUser,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedUser {
    username: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Failure {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

fn user(username: String, attributes: Vec<Attribute>) -> PoolUser {
    let attributes = attributes.into_iter().map(|one| (one.name, one.value)).collect();
    PoolUser { username, attributes }
}

/// A pool, and who we are there.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// Who we are.
    pub aws: &'a Aws,
    /// Judges where requests go.
    pub client: &'a Client,
    /// Where the pool's API is.
    pub endpoint: &'a Endpoint,
    /// The region of AWS that it is in.
    pub region: &'a str,
    /// Which pool.
    pub id: &'a str,
}

impl Pool<'_> {
    /// The person of this name, or, where people log in with it, of this address.
    pub async fn find(&self, username: &str) -> Result<Option<PoolUser>, PoolError> {
        let asked = self.call::<Found>("AdminGetUser", json!({ "Username": username })).await;
        match asked {
            Ok(found) => Ok(Some(user(found.username, found.user_attributes))),
            Err(error) if error.code() == Some("UserNotFoundException") => Ok(None),
            Err(error) => Err(judged(error)),
        }
    }

    /// Adds a person of this name. The pool sends them a password for the first time, by mail.
    pub async fn add(&self, username: &str, attributes: &[(&str, &str)]) -> Result<Added, PoolError> {
        let attributes: Vec<Value> =
            attributes.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        // Left out, the medium is a text message.
        let body = json!({ "Username": username, "UserAttributes": attributes, "DesiredDeliveryMediums": ["EMAIL"] });
        match self.call::<Created>("AdminCreateUser", body).await {
            Ok(Created { user: made }) => Ok(Added::Now(user(made.username, made.attributes))),
            Err(error) if error.code() == Some("UsernameExistsException") => Ok(Added::Exists),
            Err(error) => Err(judged(error)),
        }
    }

    /// Removes the person of this name; whether they were there.
    pub async fn remove(&self, username: &str) -> Result<bool, PoolError> {
        match self.call::<Value>("AdminDeleteUser", json!({ "Username": username })).await {
            Ok(_nothing) => Ok(true),
            Err(error) if error.code() == Some("UserNotFoundException") => Ok(false),
            Err(error) => Err(judged(error)),
        }
    }

    async fn call<T: DeserializeOwned>(&self, action: &str, mut body: Value) -> Result<T, AwsError> {
        if let Some(body) = body.as_object_mut() {
            body.insert("UserPoolId".to_owned(), self.id.into());
        }
        let body = body.to_string();
        let headers = [("x-amz-target", format!("AWSCognitoIdentityProviderService.{action}"))];
        let outgoing = Outgoing {
            method: &Method::POST,
            content_type: Some("application/x-amz-json-1.1"),
            headers: &headers,
            body: body.as_bytes(),
        };
        let scope = Scope { service: Service::Cognito, region: self.region };
        let Answer { status, body } = self.aws.send(self.client, scope, self.endpoint, outgoing).await?;
        if status == StatusCode::OK {
            // An operation without a result answers nothing at all.
            let body: &[u8] = if body.is_empty() { b"null" } else { &body };
            let unusable = |_json| FetchError::Unusable("it is no answer of Cognito's");
            return Ok(serde_json::from_slice(body).map_err(unusable)?);
        }
        let failure: Failure = serde_json::from_slice(&body).unwrap_or_default();
        // A name in front of it, as some versions of the protocol have it.
        let code = failure.kind.rsplit('#').next().unwrap_or_default();
        Err(AwsError::refused(status, code, &failure.message))
    }
}

/// What an error means for who waits. Rights that we lack and requests that are too many are for somebody to put right.
fn judged(error: AwsError) -> PoolError {
    match &error {
        AwsError::Refused { code, .. } if FOR_GOOD.contains(&code.as_str()) => {
            PoolError::Refused(error.to_string())
        }
        _ => PoolError::Passing(error),
    }
}
