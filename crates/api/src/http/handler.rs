//! Handlers of any shape, behind one type.
//!
//! Owns how a handler's arguments are taken from a request and its result becomes an answer. What is made is a plain function
//! pointer, so the route table is data: it is copied to every thread and holds no state. Refuses nothing itself: the
//! pipeline stands before it.

use std::pin::pin;

use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder, dev::Payload};
use futures::future::LocalBoxFuture;

/// A handler that takes what it needs from the request itself.
pub type Handler = fn(HttpRequest, Payload) -> LocalBoxFuture<'static, HttpResponse>;

/// Takes a handler's arguments from the request, and runs it. An argument that cannot be taken is the answer.
pub async fn invoke<F, Args>(handler: F, request: HttpRequest, mut payload: Payload) -> HttpResponse
where
    F: actix_web::Handler<Args>,
    Args: FromRequest,
    F::Output: Responder,
{
    match Args::from_request(&request, &mut payload).await {
        Ok(args) => pin!(handler.call(args)).await.respond_to(&request).map_into_boxed_body(),
        Err(error) => HttpResponse::from_error(error),
    }
}

/// A [`Handler`] that runs the function named.
macro_rules! handler {
    ($handler:path) => {
        |request, payload| Box::pin($crate::http::handler::invoke($handler, request, payload))
    };
}
pub(crate) use handler;
