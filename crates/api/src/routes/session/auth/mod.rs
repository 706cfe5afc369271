//! Logging in, staying logged in, logging out.

pub(in crate::routes::session) mod login;
mod logout;
mod password;
mod refresh;
mod reset_password;

use bulkhead_auth::Tokens;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    error::ApiError,
    extract::RequestBody,
    operation::{Access, operations},
};

operations! {
    login::login => Access::Session, [ApiError::LoginFailed, ApiError::TenantSuspended];
    refresh::refresh => Access::Session, [ApiError::InvalidCredentials, ApiError::TenantSuspended];
    logout::logout => Access::Session, [];
    password::change_password => Access::Person, [ApiError::WrongState("The password was changed meanwhile.")];
    reset_password::reset_password => Access::Session, [ApiError::TenantSuspended];
}

/// Tokens of a session.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenResponse {
    /// Send it as `Authorization: Bearer …`.
    #[schema(example = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9.…")]
    pub(crate) access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub(crate) token_type: &'static str,
    /// How many seconds the access token is good for.
    #[schema(example = 600)]
    pub(crate) expires_in: i64,
    /// Exchange it at `/v1/auth/refresh` for the next pair, once.
    #[schema(example = "bh_rt_…")]
    pub(crate) refresh_token: String,
}

impl From<Tokens> for TokenResponse {
    fn from(Tokens { access, refresh }: Tokens) -> Self {
        let refresh_token = refresh.reveal().to_owned();
        Self { access_token: access.text, token_type: "Bearer", expires_in: access.expires_in, refresh_token }
    }
}

/// A refresh token.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    /// The `refresh_token` of the last answer.
    #[schema(example = "bh_rt_…")]
    pub(crate) refresh_token: String,
}

impl RequestBody for RefreshRequest {}
