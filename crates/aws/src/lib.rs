//! AWS in our own name: who we are there, and requests that say so.
//!
//! Owns the credentials of this process and the signature of each request (Signature Version 4, by AWS's own crate), and what is
//! asked of two services: files in a bucket of S3, people in a pool of Cognito. Knows no tenants and no database. Refuses profiles,
//! files of credentials and the metadata of an EC2 host: README.md says why. No credential is in a `Debug` or in a message.

pub mod cognito;
mod credentials;
mod error;
pub mod s3;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bulkhead_domain::Clock;
use bulkhead_outbound::{Answer, Bounds, Client, ClientError, Endpoint, Outgoing, Reach};

pub use credentials::{Authorization, CredentialSource, CredentialsError};
pub use error::AwsError;

use credentials::Credentials;

/// What a request to AWS may take. A file is sent in it.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(30), largest: 256 << 10 };

/// Who we are at AWS, and the way there. Clones share the credentials.
#[derive(Clone)]
pub struct Aws {
    client: Client,
    credentials: Arc<Credentials>,
    clock: Arc<dyn Clock>,
}

/// Credentials stay out of logs.
impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

/// The service that a request is for, and where it runs: a signature counts there alone.
#[derive(Clone, Copy, Debug)]
struct Scope<'a> {
    service: Service,
    region: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    S3,
    Cognito,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Cognito => "cognito-idp",
        }
    }

    /// S3 reads a path as it is sent, and wants the digest of the body as a header.
    fn settings(self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self == Self::S3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

impl Aws {
    /// Asks for nothing yet. Trusts the system's authorities.
    pub fn new(source: CredentialSource, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        // A setting names where credentials and buckets are, and an endpoint in one's own network is usual for both.
        let client = Client::new(None, Reach::Anywhere, BOUNDS)?;
        let credentials = Credentials::new(client.clone(), source, Arc::clone(&clock));
        Ok(Self { client, credentials: Arc::new(credentials), clock })
    }

    /// Gets credentials now, and says what is wrong.
    pub async fn probe(&self) -> Result<(), AwsError> {
        self.credentials.get().await?;
        Ok(())
    }

    /// Signs and sends one request, by a client that judges where it goes.
    async fn send(
        &self,
        client: &Client,
        scope: Scope<'_>,
        endpoint: &Endpoint,
        outgoing: Outgoing<'_>,
    ) -> Result<Answer, AwsError> {
        let identity = self.credentials.get().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(scope.region)
            .name(scope.service.name())
            .time(self.clock.now().into())
            .settings(scope.service.settings())
            .build()
            .map_err(AwsError::signing)?
            .into();
        let own = outgoing.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers = own.chain(outgoing.content_type.map(|value| ("content-type", value)));
        let request = SignableRequest::new(
            outgoing.method.as_str(),
            Cow::Borrowed(endpoint.url().as_str()),
            headers,
            SignableBody::Bytes(outgoing.body),
        );
        let signed = sign(request.map_err(AwsError::signing)?, &params).map_err(AwsError::signing)?;
        let (headers, _parameters) = signed.into_parts().0.into_parts();
        let mut all = outgoing.headers.to_vec();
        all.extend(headers.iter().map(|header| (header.name(), header.value().to_owned())));
        Ok(client.send(endpoint, Outgoing { headers: &all, ..outgoing }).await?)
    }
}

/// What the names of a region's hosts end in.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
