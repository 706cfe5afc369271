//! What can go wrong at AWS.

use aws_sigv4::{http_request::SigningError, sign::v4::signing_params::BuildError};
use bulkhead_outbound::{FetchError, StatusCode};

use crate::credentials::CredentialsError;

/// How much of what AWS says is told, in characters.
const TOLD: usize = 300;

/// Why AWS has not done what it was asked for. Says nothing about what was sent.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// It is not known who we are.
    #[error("no credentials of AWS: {0}")]
    Credentials(#[from] CredentialsError),
    /// The request cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Signing(String),
    /// It cannot be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It refuses.
    #[error("{code} ({status}): {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it calls the reason.
        code: String,
        /// What it says of it.
        message: String,
    },
}

/// Why a request could not be signed.
pub(crate) trait Unsigned: std::error::Error {}
impl Unsigned for SigningError {}
impl Unsigned for BuildError {}

impl AwsError {
    pub(crate) fn signing(error: impl Unsigned) -> Self {
        Self::Signing(error.to_string())
    }

    /// A refusal, in AWS's words without what a log cannot show.
    pub(crate) fn refused(status: StatusCode, code: &str, message: &str) -> Self {
        let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(TOLD).collect();
        Self::Refused { status: status.as_u16(), code: shown(code), message: shown(message) }
    }

    /// What AWS calls the reason of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether AWS has answered, so that nothing is wrong with the way there.
    pub const fn is_answered(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status < 500)
    }
}
