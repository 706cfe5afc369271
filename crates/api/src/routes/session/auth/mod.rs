//! Logging in, staying logged in, logging out; and how people come in.

mod accept_invitation;
mod confirm_registration;
mod forgot_password;
mod leaked_key;
pub(in crate::routes::session) mod login;
mod logout;
mod password;
mod refresh;
mod register;
mod reset_password;
mod second_factor;

use bulkhead_auth::{ChallengeText, Tokens};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    error::ApiError,
    extract::RequestBody,
    operation::{Access, operations},
};

operations! {
    login::login => Access::Session, [
        ApiError::LoginFailed,
        second_factor_required(false),
        second_factor_required(true),
        ApiError::TenantSuspended,
    ];
    second_factor::login_with_code => Access::Session, [ApiError::SecondFactorFailed, ApiError::TenantSuspended];
    second_factor::enrol_to_log_in => Access::Session, [ApiError::SecondFactorFailed, ApiError::TenantSuspended];
    refresh::refresh => Access::Session, [ApiError::InvalidCredentials, ApiError::TenantSuspended];
    logout::logout => Access::Session, [];
    password::change_password => Access::Person, [ApiError::WrongState("The password was changed meanwhile.")];
    reset_password::reset_password => Access::Session, [ApiError::TenantSuspended];
    leaked_key::report_leaked_key => Access::Session, [ApiError::TooManyInFlight];
    forgot_password::forgot_password => Access::Session, [forgot_password::NO_MAIL];
    register::register => Access::Session, [];
    confirm_registration::confirm_registration => Access::Session, [
        ApiError::TenantSuspended,
        ApiError::Taken { what: "e-mail address" },
        ApiError::PlanLimitReached { what: "users", most: 100 },
    ];
    accept_invitation::accept_invitation => Access::Session, [
        ApiError::TenantSuspended,
        ApiError::Taken { what: "e-mail address" },
        ApiError::PlanLimitReached { what: "users", most: 100 },
    ];
}

/// The answer to a right password that is not enough, as the document shows it.
pub(crate) fn second_factor_required(enrols: bool) -> ApiError {
    ApiError::SecondFactorRequired { challenge: ChallengeText::new("bh_lc_…".to_owned()), enrols }
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
