//! Requests to servers of others.
//!
//! Owns how one is made: the name is resolved, every address is judged, the connection goes to an address that was judged, the
//! certificate is checked, one request is sent and its answer is read to a bound, all within one time. Refuses redirects: where
//! a server moves, a person says so. No proxy of the environment is asked, no cookie is kept, no connection is used twice.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Position};

use crate::{address::is_public, endpoint::Endpoint};

/// How much of its time and memory a client gives a request.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a request may take, from the resolution of the name to the last byte of the answer.
    pub patience: Duration,
    /// The largest answer, in bytes.
    pub largest: usize,
}

/// Which addresses a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet, for servers that somebody else names.
    Public,
    /// Private ones, too, and loopback without TLS: for servers that a setting names, and for development.
    Anywhere,
}

/// How many of a name's addresses are tried.
const ADDRESSES: usize = 4;

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificates of the extra authorities cannot be read.
    #[error("the certificates of the authorities cannot be read: {0}")]
    Authorities(String),
    /// The cryptographic library refused.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a request has not been answered as it must be. Says nothing about what was sent.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The name resolves to addresses that may not be reached.
    #[error("the host has no address in the public internet")]
    PrivateAddress,
    /// The name could not be resolved, or no address takes connections.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// TLS failed: most often, the certificate is not good.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// The exchange was broken off, or is not HTTP.
    #[error("no answer: {0}")]
    Http(hyper::Error),
    /// It took too long.
    #[error("no answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// The answer is larger than this many bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The answer leads elsewhere.
    #[error("the answer is a redirect, which is not followed")]
    Redirect,
    /// Another status than was wanted.
    #[error("the answer has the status {0}")]
    Status(u16),
    /// The answer is not what it must be.
    #[error("the answer is not usable: {0}")]
    Unusable(&'static str),
}

/// What comes back.
#[derive(Debug)]
pub struct Answer {
    /// The status, which is no redirect.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// `GET`, `POST` or `PUT`.
    pub method: &'a Method,
    /// The media type of the body.
    pub content_type: Option<&'static str>,
    /// More headers.
    pub headers: &'a [(&'static str, String)],
    /// The body.
    pub body: &'a [u8],
}

impl Outgoing<'_> {
    /// A request for a document.
    pub const GET: Self = Self { method: &Method::GET, content_type: None, headers: &[], body: &[] };
}

/// Sends requests.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
    reach: Reach,
    bounds: Bounds,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("reach", &self.reach)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that trusts the system's authorities, and those of the PEM file `authorities` beside them.
    pub fn new(authorities: Option<&[u8]>, reach: Reach, bounds: Bounds) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in authorities.into_iter().flat_map(CertificateDer::pem_slice_iter) {
            let certificate = certificate.map_err(|error| ClientError::Authorities(error.to_string()))?;
            roots.add(certificate).map_err(|error| ClientError::Authorities(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), reach, bounds })
    }

    /// The same, with other bounds.
    #[must_use]
    pub fn bounded(&self, bounds: Bounds) -> Self {
        Self { bounds, ..self.clone() }
    }

    /// Whether private addresses are connected to, and loopback is spoken to without TLS.
    pub const fn is_private_allowed(&self) -> bool {
        matches!(self.reach, Reach::Anywhere)
    }

    /// The body of a document: the answer to a GET, with the status 200.
    pub async fn get(&self, endpoint: &Endpoint) -> Result<Bytes, FetchError> {
        match self.send(endpoint, Outgoing::GET).await? {
            Answer { status: StatusCode::OK, body } => Ok(body),
            Answer { status, .. } => Err(FetchError::Status(status.as_u16())),
        }
    }

    /// Sends one request.
    pub async fn send(&self, endpoint: &Endpoint, outgoing: Outgoing<'_>) -> Result<Answer, FetchError> {
        let patience = self.bounds.patience;
        let answered = timeout(patience, self.exchange(endpoint, outgoing)).await;
        answered.unwrap_or(Err(FetchError::Timeout(patience)))
    }

    async fn exchange(&self, endpoint: &Endpoint, outgoing: Outgoing<'_>) -> Result<Answer, FetchError> {
        let url = endpoint.url();
        let stream = self.connect(endpoint).await?;
        if url.scheme() != "https" {
            return ask(stream, endpoint, outgoing, self.bounds.largest).await;
        }
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(io::Error::other),
            Some(Host::Ipv4(address)) => Ok(ServerName::from(std::net::IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => Ok(ServerName::from(std::net::IpAddr::V6(address))),
            None => Err(io::Error::other("no host")),
        };
        let stream =
            self.tls.connect(name.map_err(FetchError::Tls)?, stream).await.map_err(FetchError::Tls)?;
        ask(stream, endpoint, outgoing, self.bounds.largest).await
    }

    /// Connects to one of the host's addresses that may be reached.
    async fn connect(&self, endpoint: &Endpoint) -> Result<TcpStream, FetchError> {
        let url = endpoint.url();
        let port = url.port_or_known_default().unwrap_or(443);
        let found: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            Some(Host::Domain(name)) => {
                tokio::net::lookup_host((name, port)).await.map_err(FetchError::Connect)?.collect()
            }
            None => Vec::new(),
        };
        let mut failed = FetchError::PrivateAddress;
        let may_be_reached = |address: &SocketAddr| self.is_private_allowed() || is_public(address.ip());
        for address in found.into_iter().filter(may_be_reached).take(ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = FetchError::Connect(error),
            }
        }
        Err(failed)
    }
}

/// One request and its answer on a connection of their own.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    endpoint: &Endpoint,
    outgoing: Outgoing<'_>,
    largest: usize,
) -> Result<Answer, FetchError> {
    let request = request(endpoint, outgoing)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::Http)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(FetchError::Http)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect);
        }
        let read = Limited::new(answer.into_body(), largest).collect().await;
        let body = read.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(error) if error.is::<LengthLimitError>() => FetchError::TooLarge(largest),
            Err(_other) => FetchError::Unusable("its body"),
        })?;
        Ok(Answer { status, body: body.to_bytes() })
    };
    tokio::pin!(answered);
    // The connection moves while it is polled, here and not in a task of its own: both end together.
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        closed = connection => match closed {
            Ok(()) => answered.await,
            Err(error) => Err(FetchError::Http(error)),
        },
    }
}

fn request(endpoint: &Endpoint, outgoing: Outgoing<'_>) -> Result<Request<Full<Bytes>>, FetchError> {
    let url = endpoint.url();
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let mut request = Request::builder()
        .method(outgoing.method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, host)
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(USER_AGENT, HeaderValue::from_static("bulkhead"))
        .header(CONNECTION, HeaderValue::from_static("close"));
    if let Some(content_type) = outgoing.content_type {
        request = request.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in outgoing.headers {
        request = request.header(*name, value);
    }
    let body = Full::new(Bytes::copy_from_slice(outgoing.body));
    request.body(body).map_err(|_unsendable| FetchError::Unusable("what is to be sent"))
}
