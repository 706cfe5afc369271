//! JSON bodies: bounded, declared as JSON, not compressed, without unknown fields (the request types refuse them).
//!
//! A body's bytes count among those that the tenant has in flight: those announced since the request's admission, those of a
//! body that comes in pieces before each piece is taken. Without a credential they count among the address's, and a body is at
//! most 16 KiB. No memory is set aside for what is only announced. A large body of a tenant is read aside of the serving
//! threads. Refuses to build a tree of what a tenant sends; a field of any JSON is a `JsonContent`.

use std::{fmt, future::Future, marker::PhantomData, pin::Pin, rc::Rc, time::Instant};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING},
    web::Data,
};
use bulkhead_domain::JsonContent;
use bulkhead_limits::{Size, aside};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::fields::parse_body;
use crate::http::{
    context::{self, Context},
    error::ApiError,
    state::AppState,
    validation::Fields,
    wire::{self, Line},
};

/// How often a body lies in memory: as it came, as the statement holds it, and as the driver sends it. What is kept of it for
/// the answer counts as the answer's.
pub(crate) const COPIES: usize = 3;
/// By how much a body that was not announced grows at a time.
pub(crate) const PIECE: usize = 64 << 10;

/// The largest body that is taken without a credential, in bytes.
const PUBLIC_LIMIT: usize = 16 << 10;

/// What a request's body is read as.
pub trait RequestBody: DeserializeOwned + Send + 'static {
    /// The field that takes any JSON, if the type has one and the client has sent it. Its content is checked where
    /// the body is read.
    fn content(&mut self) -> Option<&mut JsonContent> {
        None
    }

    /// Checks what the document says of the fields beyond their types. What is noted refuses the request.
    fn check(&self, fields: &mut Fields) {
        let _ = fields;
    }
}

/// A request body, parsed.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: RequestBody> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let state = request.app_data::<Data<AppState>>().ok_or_else(|| ApiError::internal("no state"))?;
            let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
            let taken = take(&request, state, &context, payload).await;
            if taken.is_err() && context.principal.get().is_none() {
                // The body was to show a password or a refresh token and cannot be read, so the request shows no
                // credential.
                state.admit_address(&request)?;
            }
            taken.map(Self)
        })
    }
}

/// Reads the request's body and makes its value.
async fn take<T: RequestBody>(
    request: &HttpRequest,
    state: &AppState,
    context: &Context,
    payload: Payload,
) -> Result<T, ApiError> {
    let is_coded = request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if is_coded || !request.content_type().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::UnsupportedMediaType);
    }
    let principal = context.principal.get();
    let limit = state.options.body_limit;
    let limit = if principal.is_none() { limit.min(PUBLIC_LIMIT) } else { limit };
    let bytes = read(request, context, payload, limit).await?;
    // The place is taken only now, so that a body that is slow to come keeps no place from another request.
    let size = Size { body: bytes.len(), answers_content: context.answers_content };
    let begun = Instant::now();
    let large = match principal.and_then(|principal| principal.tenant()) {
        Some(tenant) => state.large.enter(tenant.get(), size).await?,
        None => None,
    };
    context.ingress.set(bytes.len() as u64);
    if request.headers().contains_key("idempotency-key") {
        context.body.replace(bytes.clone());
    }
    let content_limit = state.options.data_limit;
    let value = match large {
        Some(place) if size.has_large_body() => {
            // The thread holds the place: it may still read when the request is past its deadline.
            let read = move || (read_json(&bytes, content_limit), place);
            let (value, place) = aside("body", read).await?;
            context.large.replace(Some(place));
            value
        }
        large => {
            context.large.replace(large);
            read_json(&bytes, content_limit)
        }
    };
    // A thread beside the serving ones gives way to them, so it is slow while they are busy. That time is not billed.
    context.queued.set(begun.elapsed());
    value
}

fn read_json<T: RequestBody>(bytes: &[u8], content_limit: usize) -> Result<T, ApiError> {
    let mut value: T = parse_body(bytes)?;
    if let Some(content) = value.content() {
        content.check(content_limit);
    }
    let mut fields = Fields::default();
    value.check(&mut fields);
    fields.finish()?;
    Ok(value)
}

/// What a request's head says about its body.
pub(crate) fn announced(headers: &HeaderMap) -> wire::Body {
    if headers.contains_key(TRANSFER_ENCODING) {
        return wire::Body::CHUNKED;
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.map_or(wire::Body::NONE, wire::Body::Left)
}

/// Reads at most `limit` bytes; says so at once when more are announced.
async fn read(
    request: &HttpRequest,
    context: &Context,
    mut payload: Payload,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let announced = match announced(request.headers()) {
        wire::Body::Left(length) => Some(usize::try_from(length).unwrap_or(usize::MAX)),
        wire::Body::Chunks(_) => None,
    };
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::BodyTooLarge { limit });
    }
    let line = request.conn_data::<Rc<Line>>();
    if let Some(line) = line {
        line.read_body();
    }
    let mut granted = announced.unwrap_or(PIECE);
    let mut body = BytesMut::new();
    // Where the client asks for another protocol, the library finds no end of the body.
    let whole = announced.filter(|_| line.is_some_and(|line| line.is_last()));
    while whole != Some(body.len())
        && let Some(chunk) = next(context, &mut payload).await
    {
        let chunk = chunk.map_err(|_broken| ApiError::MalformedJson("it did not arrive whole".to_owned()))?;
        let length = body.len() + chunk.len();
        if length > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        while granted < length {
            grow(context)?;
            granted += PIECE;
        }
        body.extend_from_slice(&chunk);
    }
    if let Some(line) = line {
        line.body_is_read();
    }
    Ok(body.freeze())
}

/// The body's next piece. The context notes how long it was waited for: if no piece has come by the request's
/// deadline, the pipeline decides from that whose fault it is.
async fn next(context: &Context, payload: &mut Payload) -> Option<Result<Bytes, PayloadError>> {
    context.wait_for_body();
    let chunk = payload.next().await;
    context.body_has_come();
    chunk
}

/// Takes room for one more piece of a body.
fn grow(context: &Context) -> Result<(), ApiError> {
    let mut entered = context.entered.borrow_mut();
    entered.as_mut().map_or(Ok(()), |entered| entered.grow(COPIES * PIECE)).map_err(ApiError::from)
}

/// Reads a struct from an object and nothing else: serde would also take a list, and fill the fields by their places. For
/// the fields that hold a struct, with `#[serde(deserialize_with = "object")]`.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, fields: M) -> Result<T, M::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    from.deserialize_map(Object(PhantomData))
}
