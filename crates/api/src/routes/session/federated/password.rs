//! Log in with a password at AWS Cognito.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{
    Request,
    federation::{PasswordLogin, Visitor},
};
use bulkhead_domain::IdentityProviderId;
use bulkhead_telemetry::metrics::Credential;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    http::{
        answer::Answer,
        context,
        error::ApiError,
        extract::{Id, Json, RequestBody},
        state::AppState,
    },
    routes::session::auth::{TokenResponse, login::user_agent},
};

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordLoginRequest {
    /// The user's name in the pool, or whatever the pool takes for one.
    #[schema(min_length = 1, max_length = 254, example = "grace@example.com")]
    username: String,
    /// The password in the pool.
    #[schema(min_length = 1, max_length = 256, format = Password, example = "correct horse battery staple")]
    password: String,
}

impl RequestBody for PasswordLoginRequest {}

/// Log in with a password at AWS Cognito
///
/// For pools whose provider has `password_login`: the password is shown to Cognito (`USER_PASSWORD_AUTH`) and kept nowhere. A pool
/// that asks for more than a password is answered 409; the log-in then begins at `/v1/auth/federated/{id}/start`. Failures are
/// counted as those of `POST /v1/auth/login` are.
#[utoipa::path(
    post, path = "/v1/auth/federated/{id}/password", tag = "auth", request_body = PasswordLoginRequest,
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "Logged in.", body = TokenResponse)),
)]
pub(crate) async fn federated_password_login(
    state: Data<AppState>,
    request: HttpRequest,
    Id(id): Id<IdentityProviderId>,
    Json(body): Json<PasswordLoginRequest>,
) -> Result<Answer, ApiError> {
    let presented = state.presented(&request);
    let client = state.client(&request).to_string();
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let PasswordLoginRequest { username, password } = body;
    // What Cognito would refuse is no one's name or password.
    let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
    if !fits(&username, 254) || !fits(&password, 256) {
        return Err(ApiError::LoginFailed);
    }
    let attempt = PasswordLogin {
        provider: id,
        username: &username,
        password: &password,
        visitor: Visitor {
            from: presented.address(),
            user_agent: user_agent(&request),
            request: Request { id: context.id.as_str(), address: &client },
        },
    };
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let ask = || presented.ask();
    let login =
        state.authenticator.federated_password_login(&state.db, &attempt, ask, admit, state.clock.now());
    let result = Box::pin(login).await;
    state.count(Credential::Federated, &result);
    Answer::ok(&TokenResponse::from(presented.settle(result)?))
}
