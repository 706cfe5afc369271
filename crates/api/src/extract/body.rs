//! JSON bodies: bounded, declared as JSON, not compressed, without unknown fields (the request types refuse them).
//!
//! A body's bytes count among those that the tenant has in flight: those announced since the request's admission, those of a
//! body that comes in pieces before each piece is taken. Without a credential nobody has a share to count in; there a body
//! is so small that a connection holds more by itself. No memory is set aside for what is only announced. Refuses to build
//! a tree of what a tenant sends; a field of any JSON is a `RawValue`.

use std::{fmt, future::Future, marker::PhantomData, pin::Pin};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH},
    web::Data,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::fields::parse_body;
use crate::{context, error::ApiError, state::AppState};

/// How often a body lies in memory: as it came, as the statement holds it, and as the driver sends it.
pub(crate) const COPIES: usize = 3;
/// By how much a body that was not announced grows at a time.
pub(crate) const PIECE: usize = 64 << 10;

/// The largest body that is taken without a credential, in bytes.
const PUBLIC_LIMIT: usize = 16 << 10;

/// A request body, parsed.
#[derive(Debug)]
pub(crate) struct Json<T> {
    /// The value.
    pub(crate) value: T,
    /// The bytes it was read from, for the fingerprint of idempotent requests.
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let is_coded = request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
            if is_coded || !request.content_type().eq_ignore_ascii_case("application/json") {
                return Err(ApiError::UnsupportedMediaType);
            }
            let limit = request
                .app_data::<Data<AppState>>()
                .map(|state| state.options.body_limit)
                .ok_or_else(|| ApiError::internal("no state"))?;
            let is_public = context::with(&request, |context| {
                context.is_reading.set(true);
                context.principal.is_none()
            });
            let limit = if is_public == Some(true) { limit.min(PUBLIC_LIMIT) } else { limit };
            let bytes = read(&request, payload, limit).await?;
            context::with(&request, |context| {
                context.is_reading.set(false);
                context.ingress.set(bytes.len() as u64);
            });
            let value = parse_body(&bytes)?;
            Ok(Self { value, bytes })
        })
    }
}

/// Reads at most `limit` bytes; says so at once when more are announced.
async fn read(request: &HttpRequest, mut payload: Payload, limit: usize) -> Result<Bytes, ApiError> {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::BodyTooLarge { limit });
    }
    let mut granted = announced.unwrap_or(PIECE);
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_broken| ApiError::MalformedJson("it did not arrive whole".to_owned()))?;
        let length = body.len() + chunk.len();
        if length > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        while granted < length {
            grow(request)?;
            granted += PIECE;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Takes room for one more piece of a body.
fn grow(request: &HttpRequest) -> Result<(), ApiError> {
    let is_granted = context::with(request, |context| {
        context.entered.borrow_mut().as_mut().is_none_or(|entered| entered.grow(COPIES * PIECE))
    });
    if is_granted == Some(true) { Ok(()) } else { Err(ApiError::TooManyInFlight) }
}

/// Reads a struct from an object and nothing else: serde would also take a list, and fill the fields by their places. For
/// the fields that hold a struct, with `#[serde(deserialize_with = "object")]`.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
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
