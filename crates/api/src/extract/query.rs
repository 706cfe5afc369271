//! Query parameters: unknown ones are refused, because a filter that is misspelt and ignored shows too much.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Query parameters, parsed.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = web::Query::<T>::from_query(request.query_string()).map_err(|error| {
            let detail: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
            ApiError::InvalidParameter { name: "The query string", detail: format!("does not fit: {detail}") }
        });
        ready(parsed.map(|query| Self(query.into_inner())))
    }
}
