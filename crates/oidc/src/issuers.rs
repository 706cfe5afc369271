//! The issuers that this node has met lately.
//!
//! Owns what is shared by the threads of a process: the client, the hosts that may be named, and for each issuer what
//! `issuer.rs` keeps. Bounded: the least used are forgotten, and asked again when they are needed.

use std::{sync::Arc, time::Duration};

use bulkhead_outbound::{Bounds, Client, ClientError, Endpoint, FetchError, Reach};
use bulkhead_telemetry::metrics::Identity;
use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;

use crate::{
    hosts::{AllowedHosts, EndpointError},
    issuer::{Issuer, Wanted},
    keys::{Algorithm, Keys},
    metadata::Metadata,
    token::{Claims, Expected, Kind, Presented, TokenError},
};

pub use crate::issuer::{Circuit, FAILURES, FRESH_FOR, PAUSE, SHORT_PAUSE, STALE_FOR};

/// How many issuers a node remembers.
const REMEMBERED: usize = 1_000;

/// What an issuer gets of our time, while somebody waits for a log-in, and of our memory: Google's keys have 2 kB, a large discovery
/// document 8.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(5), largest: 256 << 10 };

/// Sends requests to issuers. Trusts the system's authorities, and those of the PEM file `authorities` beside them. With
/// `private_allowed` it connects to private addresses, too.
pub fn client(authorities: Option<&[u8]>, private_allowed: bool) -> Result<Client, ClientError> {
    let reach = if private_allowed { Reach::Anywhere } else { Reach::Public };
    Client::new(authorities, reach, BOUNDS)
}

/// The issuer cannot be asked, and nothing that it has said before is recent enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the issuer does not answer")]
pub struct Unavailable;

/// An issuer, and where its keys are when not where it says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are, if that was said; otherwise its document says so.
    pub jwks: Option<String>,
}

/// The issuers that may be named, and what is known of those that were.
pub struct Issuers {
    client: Client,
    allowed: AllowedHosts,
    known: Cache<Source, Arc<Issuer>>,
    metrics: Option<Identity>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Issuers {
    /// Knows nothing yet.
    pub fn new(client: Client, allowed: AllowedHosts, metrics: Option<Identity>) -> Self {
        Self { client, allowed, known: Cache::new(REMEMBERED), metrics }
    }

    /// Sends requests.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether no issuer may be named at all.
    pub const fn is_off(&self) -> bool {
        self.allowed.is_empty()
    }

    /// Reads the address of an issuer, or one that belongs to it, as a person names it: on a host that is allowed.
    pub fn read_named(&self, text: &str) -> Result<Endpoint, EndpointError> {
        let endpoint = Endpoint::parse(text, self.client.is_private_allowed())?;
        if self.allowed.allow(&endpoint) { Ok(endpoint) } else { Err(EndpointError::Host) }
    }

    /// The keys of an issuer, with the one of this name if it can be had. Asks for nothing when the hosts are not allowed any
    /// more, which a row of before may name.
    pub async fn keys(
        &self,
        source: &Source,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Keys>, Unavailable> {
        Ok(self.issuer(source)?.find(&self.client, Wanted::Key(kid, algorithm)).await?.1)
    }

    /// What a token says, if the issuer has signed it and it is what is expected, at `now`.
    ///
    /// A signature that none of the known keys fits is a reason to ask for others, as a name that is not known is: not every
    /// issuer names its keys, and some give a new one the old one's name.
    pub async fn verify(
        &self,
        source: &Source,
        presented: Presented<'_>,
        kind: Kind,
        expected: Expected<'_>,
        now: DateTime<Utc>,
    ) -> Result<Result<Claims, TokenError>, Unavailable> {
        let mut keys = self.keys(source, presented.kid(), presented.algorithm()).await?;
        if !presented.is_signed_by(&keys) {
            keys = self.issuer(source)?.find(&self.client, Wanted::OtherThan(&keys)).await?.1;
            if !presented.is_signed_by(&keys) {
                return Ok(Err(TokenError::Signature));
            }
        }
        Ok(presented.check(&source.issuer, kind, expected, now))
    }

    /// Where people are sent to log in, and what verifies what they come back with.
    pub async fn metadata(&self, source: &Source) -> Result<Arc<Metadata>, Unavailable> {
        Ok(self.issuer(source)?.find(&self.client, Wanted::Anything).await?.0)
    }

    /// Asks an issuer now and says how many keys it has, or what is wrong.
    pub async fn probe(&self, source: &Source) -> Result<usize, FetchError> {
        let issuer = self.issuer(source).map_err(|_host| FetchError::Unusable("its host is not allowed"))?;
        issuer.probe(&self.client).await
    }

    /// Whether an issuer is asked at the moment; `None` for one that was not needed lately.
    pub fn circuit(&self, source: &Source) -> Option<Circuit> {
        self.known.get(source).map(|issuer| issuer.circuit())
    }

    fn issuer(&self, source: &Source) -> Result<Arc<Issuer>, Unavailable> {
        let is_named = |text: &str| self.read_named(text).is_ok();
        if !is_named(&source.issuer) && !source.jwks.as_deref().is_some_and(is_named) {
            return Err(Unavailable);
        }
        let make = || Ok::<_, Unavailable>(Arc::new(Issuer::new(source.clone(), self.metrics.clone())));
        self.known.get_or_insert_with(source, make)
    }
}
