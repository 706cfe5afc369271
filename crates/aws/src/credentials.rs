//! Who we are at AWS: credentials that were given, or those that the host hands to this container.
//!
//! Owns when they are asked for. The host's are good for hours; they are renewed some minutes before they lapse, by one request
//! for all, and while that fails those at hand are used as long as they are good.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use aws_credential_types::Credentials as Keys;
use bulkhead_domain::Clock;
use bulkhead_outbound::{Answer, Bounds, Client, Endpoint, FetchError, Outgoing, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use tokio::sync::Mutex;

/// How long before they lapse credentials are renewed. AWS has the next ones ready earlier.
const AHEAD: TimeDelta = TimeDelta::minutes(5);
/// After how long a host that says no end is asked again.
const UNSAID: TimeDelta = TimeDelta::minutes(15);
/// After a failure, how long those at hand are used before the host is asked again.
const PAUSE: TimeDelta = TimeDelta::seconds(10);
/// What the host's answer may take.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(5), largest: 64 << 10 };
/// The longest token that is shown to the host, in bytes.
const LONGEST_TOKEN: usize = 16 << 10;

/// Where credentials come from.
#[derive(Clone)]
pub enum CredentialSource {
    /// From the settings.
    Given {
        /// Which ones.
        key_id: String,
        /// What signs.
        secret: String,
        /// What goes with those that lapse.
        token: Option<String>,
    },
    /// From the host of this container (ECS, EKS).
    Container {
        /// Where it hands them out.
        endpoint: Endpoint,
        /// What it wants to see.
        authorization: Option<Authorization>,
    },
}

/// What is shown to the host.
#[derive(Clone)]
pub enum Authorization {
    /// A text.
    Text(String),
    /// What is in a file, which is replaced from time to time.
    File(PathBuf),
}

/// Secrets stay out of logs.
impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { .. } => f.write_str("Given"),
            Self::Container { endpoint, .. } => write!(f, "Container({endpoint})"),
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file with what the host wants to see cannot be read.
    #[error("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read: {0}")]
    Token(std::io::Error),
    /// What is in it cannot be sent.
    #[error("what is in AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is no token")]
    TokenForm,
    /// The host does not answer.
    #[error("the host of this container does not hand them out: {0}")]
    Host(#[from] FetchError),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HandedOut {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<DateTime<Utc>>,
}

struct Known {
    keys: Keys,
    /// Until when they are good.
    until: DateTime<Utc>,
    /// When the next ones are asked for.
    renewed_at: DateTime<Utc>,
}

/// The credentials of this process.
pub(crate) struct Credentials {
    client: Client,
    source: CredentialSource,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
}

impl Credentials {
    pub(crate) fn new(client: Client, source: CredentialSource, clock: Arc<dyn Clock>) -> Self {
        Self { client: client.bounded(BOUNDS), source, clock, known: Mutex::new(None) }
    }

    /// Credentials that are good now.
    pub(crate) async fn get(&self) -> Result<Keys, CredentialsError> {
        let (endpoint, authorization) = match &self.source {
            CredentialSource::Given { key_id, secret, token } => {
                return Ok(Keys::new(key_id, secret, token.clone(), None, "settings"));
            }
            CredentialSource::Container { endpoint, authorization } => (endpoint, authorization.as_ref()),
        };
        let now = self.clock.now();
        // Held while the host is asked: who comes meanwhile waits for the same answer, five seconds at most.
        let mut known = self.known.lock().await;
        if let Some(Known { keys, renewed_at, .. }) = known.as_ref()
            && now < *renewed_at
        {
            return Ok(keys.clone());
        }
        match (self.ask(endpoint, authorization).await, known.as_mut()) {
            (Ok(HandedOut { access_key_id, secret_access_key, token, expiration }), _) => {
                let until = expiration.unwrap_or(now + UNSAID);
                let keys =
                    Keys::new(access_key_id, secret_access_key, token, Some(until.into()), "container");
                // Those that lapse at once are used once, and asked for again.
                let renewed_at = (until - AHEAD).max(now + PAUSE).min(until);
                *known = Some(Known { keys: keys.clone(), until, renewed_at });
                Ok(keys)
            }
            (Err(error), Some(known)) if now < known.until => {
                tracing::warn!(%error, until = %known.until, "credentials of AWS could not be renewed");
                known.renewed_at = (now + PAUSE).min(known.until);
                Ok(known.keys.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        authorization: Option<&Authorization>,
    ) -> Result<HandedOut, CredentialsError> {
        let token = match authorization {
            None => None,
            Some(Authorization::Text(text)) => Some(text.clone()),
            Some(Authorization::File(path)) => {
                let text = tokio::fs::read_to_string(path).await.map_err(CredentialsError::Token)?;
                let text = text.trim_end();
                let is_sound =
                    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
                Some(if is_sound { text.to_owned() } else { return Err(CredentialsError::TokenForm) })
            }
        };
        let headers: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
        match self.client.send(endpoint, Outgoing { headers: &headers, ..Outgoing::GET }).await? {
            Answer { status: StatusCode::OK, body } => {
                // The reader's own message could quote the answer.
                let unusable = |_json| FetchError::Unusable("it has no credentials in it");
                Ok(serde_json::from_slice(&body).map_err(unusable)?)
            }
            Answer { status, .. } => Err(FetchError::Status(status.as_u16()).into()),
        }
    }
}
