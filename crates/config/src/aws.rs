//! AWS: who this process is there, by the variables that AWS's own programs read.
//!
//! They are not ours to name, and a container has them for other programs, too. So one that is empty counts as unset, one that begins
//! like them and is not known here is not looked at, and what is missing is told by what needs it.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{secret::Password, value::BaseUrl};

/// What the names of AWS's variables begin with.
pub(crate) const PREFIX: &str = "AWS_";

/// The variable with the region.
pub const AWS_REGION: &str = "AWS_REGION";
/// The variable with the address of S3's API.
pub const AWS_ENDPOINT_URL_S3: &str = "AWS_ENDPOINT_URL_S3";

/// Where ECS hands credentials out.
const ECS: &str = "http://169.254.170.2";
/// What is to be done where there are no credentials.
pub const NO_CREDENTIALS: &str = "no credentials of AWS are set: give the task (ECS) or the pod (EKS Pod Identity) a role, which sets \
     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI, or set AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY";

/// Who this process is at AWS. Needed where anchors go to a bucket, and where people are made in a pool of Cognito.
#[derive(Clone, Debug, Args)]
pub struct Aws {
    /// Region of AWS in which the bucket of `BULKHEAD_AUDIT_ANCHOR` is: `eu-central-1`. ECS sets it. A pool of Cognito names its region
    /// itself.
    #[arg(env = AWS_REGION, value_parser = region)]
    pub region: Option<String>,
    /// Which credentials of AWS these are, where no role hands them out.
    #[arg(env = "AWS_ACCESS_KEY_ID", value_parser = key_id)]
    access_key_id: Option<String>,
    /// The secret of those credentials.
    #[arg(env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_access_key: Option<Password>,
    /// What goes with those credentials when they lapse.
    #[arg(env = "AWS_SESSION_TOKEN", hide_env_values = true, value_parser = token)]
    session_token: Option<Password>,
    /// Where the credentials of this task's role are handed out. ECS sets it.
    #[arg(env = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", value_parser = path)]
    container_credentials_relative_uri: Option<String>,
    /// The same as a whole address: https, or without TLS on loopback or at an address of ECS or EKS. EKS sets it.
    #[arg(env = "AWS_CONTAINER_CREDENTIALS_FULL_URI")]
    container_credentials_full_uri: Option<BaseUrl>,
    /// What is shown there.
    #[arg(env = "AWS_CONTAINER_AUTHORIZATION_TOKEN", hide_env_values = true, value_parser = token)]
    container_authorization_token: Option<Password>,
    /// File with what is shown there, which is read each time. EKS sets it.
    #[arg(env = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")]
    container_authorization_token_file: Option<PathBuf>,
    /// Where the API of S3 is, when not at AWS; names of buckets then stand in the path. Without TLS on this host alone.
    #[arg(env = AWS_ENDPOINT_URL_S3)]
    pub endpoint_url_s3: Option<BaseUrl>,
}

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsCredentials<'a> {
    /// From the settings.
    Given {
        /// Which ones.
        key_id: &'a str,
        /// Their secret.
        secret: &'a Password,
        /// What goes with those that lapse.
        token: Option<&'a Password>,
    },
    /// From the host of this container.
    Container {
        /// The variable that says where.
        variable: &'static str,
        /// Where.
        url: String,
        /// What is shown there.
        token: Option<&'a Password>,
        /// The file with what is shown there, which counts first.
        token_file: Option<&'a Path>,
    },
}

impl Aws {
    /// Where credentials come from, in the order of AWS's own programs; `None` when nothing says so.
    pub fn credentials(&self) -> Option<AwsCredentials<'_>> {
        if let (Some(key_id), Some(secret)) = (&self.access_key_id, &self.secret_access_key) {
            return Some(AwsCredentials::Given { key_id, secret, token: self.session_token.as_ref() });
        }
        let relative = self.container_credentials_relative_uri.as_ref();
        let relative =
            relative.map(|path| ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", format!("{ECS}{path}")));
        let full = self.container_credentials_full_uri.as_ref();
        let full = full.map(|url| ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str().to_owned()));
        relative.or(full).map(|(variable, url)| AwsCredentials::Container {
            variable,
            url,
            token: self.container_authorization_token.as_ref(),
            token_file: self.container_authorization_token_file.as_deref(),
        })
    }
}

fn region(text: &str) -> Result<String, String> {
    let is_one = (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if is_one { Ok(text.to_owned()) } else { Err("not a region like eu-central-1".to_owned()) }
}

fn key_id(text: &str) -> Result<String, String> {
    let is_one =
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_one { Ok(text.to_owned()) } else { Err("not the id of an access key".to_owned()) }
}

/// What goes into a header, and may be long.
fn token(text: &str) -> Result<Password, String> {
    let is_one = (1..=16_384).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if is_one { Ok(Password::of(text)) } else { Err("not a token".to_owned()) }
}

fn path(text: &str) -> Result<String, String> {
    let is_one = text.len() <= 512 && text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
    if is_one { Ok(text.to_owned()) } else { Err("not a path that begins with a slash".to_owned()) }
}
