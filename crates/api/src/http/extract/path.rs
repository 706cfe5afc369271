//! Ids in paths. A text that is no id of the right type names nothing, so it is answered like an id that does not exist.

use std::{
    future::{Ready, ready},
    str::FromStr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use bulkhead_domain::SessionId;

use crate::http::error::ApiError;

/// The `{id}` of the path.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

/// The `{session}` of a path in which a person's `{id}` stands before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionInPath(pub(crate) SessionId);

impl FromRequest for SessionInPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("session").and_then(|text| text.parse().ok());
        ready(id.map(Self).ok_or(ApiError::NotFound))
    }
}

impl<T: FromStr + 'static> FromRequest for Id<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").and_then(|text| text.parse().ok());
        ready(id.map(Self).ok_or(ApiError::NotFound))
    }
}
