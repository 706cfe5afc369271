//! What is known of a request: its id and trace, who calls, and what the request holds while it is worked on.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{HttpMessage, HttpRequest, http::header::HeaderMap};
use bulkhead_auth::Principal;
use bulkhead_domain::{
    id,
    metering::{MeterName, Quantity},
};
use bulkhead_limits::{Entered, LargePlace};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::http::{address::ClientAddress, operation::Operation};

/// A request's id: the caller's `X-Request-Id` when it is harmless; otherwise its `X-Correlation-ID`, under which other
/// systems send the same; otherwise one of ours. Answers name it `X-Request-Id` alone, whichever it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The longest id taken from a caller.
    const MAX: usize = 64;

    fn of(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let harmless = |id: &&str| {
            (1..=Self::MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        let sent = |name| headers.get(name).and_then(|value| value.to_str().ok()).filter(harmless);
        let sent = sent("x-request-id").or_else(|| sent("x-correlation-id"));
        sent.map_or_else(|| Self(mint(now)), |id| Self(id.to_owned()))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn mint(now: DateTime<Utc>) -> String {
    format!("req_{}", id::mint(now).simple())
}

/// The trace a request belongs to, from its `traceparent` (W3C Trace Context, version 00).
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (version.len() == 2 && hex && trace.bytes().any(|b| b != b'0')).then_some(trace)
}

/// What the pipeline and the extractors of one request share.
pub(crate) struct Context {
    pub(crate) id: RequestId,
    /// Who has sent the request, as far as the network tells.
    pub(crate) client: ClientAddress,
    pub(crate) operation: &'static str,
    /// Whether the answer has the tenant's content in it.
    pub(crate) answers_content: bool,
    /// When the request began; fixes the minute and the billing period it counts in.
    pub(crate) started_at: DateTime<Utc>,
    /// Who calls, once the caller may go on; `None` for requests without a credential.
    pub(crate) principal: Cell<Option<Principal>>,
    /// Bytes of the request's body, once it has been read.
    pub(crate) ingress: Cell<u64>,
    /// The body as it came, once it has been read, where the request has an `Idempotency-Key`: the key stands for it too.
    pub(crate) body: RefCell<Bytes>,
    /// How long the body has been waited for, up to the wait that is under way.
    waited: Cell<Duration>,
    /// Since when the body is waited for.
    waiting_since: Cell<Option<Instant>>,
    /// How long the request has waited for others of its tenant, after all of it had come.
    pub(crate) queued: Cell<Duration>,
    /// The request's place among those in flight, with the bytes that it holds.
    pub(crate) entered: RefCell<Option<Entered>>,
    /// The request's place among its tenant's large ones.
    pub(crate) large: RefCell<Option<LargePlace>>,
    /// What the request counts beside itself, each meter at most once.
    counted: RefCell<Vec<(MeterName, Quantity)>>,
}

/// Without the body, which may hold a password.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, operation, .. } = self;
        f.debug_struct("Context").field("id", id).field("operation", operation).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(
        request: &HttpRequest,
        client: ClientAddress,
        operation: &Operation,
        now: DateTime<Utc>,
    ) -> Self {
        let id = RequestId::of(request.headers(), now);
        Self {
            id,
            client,
            operation: operation.id,
            answers_content: operation.weight.is_of_content(),
            started_at: now,
            principal: Cell::default(),
            ingress: Cell::new(0),
            body: RefCell::default(),
            waited: Cell::default(),
            waiting_since: Cell::default(),
            queued: Cell::default(),
            entered: RefCell::default(),
            large: RefCell::default(),
            counted: RefCell::default(),
        }
    }

    /// Counts a quantity beside the request itself. The sum that one request counts of a meter is at most
    /// [`Quantity::MAX`].
    pub(crate) fn count(&self, meter: MeterName, quantity: Quantity) {
        let mut counted = self.counted.borrow_mut();
        match counted.iter_mut().find(|(known, _)| *known == meter) {
            Some((_, sum)) => *sum = sum.saturating_add(quantity),
            None => counted.push((meter, quantity)),
        }
    }

    /// What the request has counted; nothing is left.
    pub(crate) fn take_counted(&self) -> Vec<(MeterName, Quantity)> {
        self.counted.take()
    }

    /// The request is answered: gives its places up. What it holds in memory counts until the answer is written.
    pub(crate) fn leave(&self) -> Option<Entered> {
        self.body.take();
        self.large.take();
        self.entered.take()
    }

    /// The next piece of the body is waited for.
    pub(crate) fn wait_for_body(&self) {
        self.waiting_since.set(Some(Instant::now()));
    }

    /// A piece of the body has come.
    pub(crate) fn body_has_come(&self) {
        self.waited.set(self.waited_for_body(Instant::now()));
        self.waiting_since.set(None);
    }

    /// How long the request has waited for its body and for others.
    pub(crate) fn has_waited(&self, now: Instant) -> Duration {
        self.waited_for_body(now) + self.queued.get()
    }

    /// How long the body has been waited for.
    pub(crate) fn waited_for_body(&self, now: Instant) -> Duration {
        let under_way = self.waiting_since.get().map_or(Duration::ZERO, |since| now - since);
        self.waited.get() + under_way
    }
}

/// A request's context; `None` only outside the pipeline.
pub(crate) fn of(request: &HttpRequest) -> Option<Rc<Context>> {
    request.extensions().get::<Rc<Context>>().map(Rc::clone)
}
