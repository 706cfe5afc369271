//! The one cookie of this API: it holds what a browser was given when it was sent to an identity provider, for ten minutes.
//!
//! It is no credential. It says that the browser that comes back is the one that was sent, so that nobody ends another person's
//! log-in with their own account. Nothing but the callback reads it.

use actix_web::{HttpRequest, http::header};
use bulkhead_auth::federation::LOGIN_LIFETIME;

use crate::http::state::AppState;

/// Where the API is reached with TLS, the name makes browsers refuse the cookie from any other host and without TLS.
fn name(state: &AppState) -> &'static str {
    if state.options.public_url.starts_with("https://") { "__Host-bulkhead-login" } else { "bulkhead-login" }
}

/// The header that sets it.
pub(super) fn set(state: &AppState, handle: &str) -> String {
    let name = name(state);
    let secure = if name.starts_with("__Host-") { "; Secure" } else { "" };
    let seconds = LOGIN_LIFETIME.num_seconds();
    format!("{name}={handle}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// What the request's cookie holds.
pub(super) fn get<'a>(state: &AppState, request: &'a HttpRequest) -> Option<&'a str> {
    let name = name(state);
    let headers = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}
