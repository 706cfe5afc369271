//! End a log-in at an identity provider.

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use bulkhead_auth::{
    AuthError, Request,
    federation::{LoginReturn, Visitor},
};
use bulkhead_domain::IdentityProviderId;
use bulkhead_telemetry::metrics::Credential;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{callback_of, cookie};
use crate::{
    http::{
        context,
        error::ApiError,
        extract::{Id, Query},
        state::AppState,
    },
    routes::session::auth::{TokenResponse, login::user_agent},
};

/// What the provider adds to the address. It may add more, which is not looked at.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackQuery {
    /// What the tokens are had for.
    #[param(example = "SplxlOBeZQQYbYS6WxSbIA")]
    code: Option<String>,
    /// What the browser was sent there with.
    #[param(example = "af0ifjsldkj")]
    state: Option<String>,
    /// The provider's issuer, if it names itself (RFC 9207).
    #[param(example = "https://login.acme.example")]
    iss: Option<String>,
    /// Why there is no code.
    #[param(example = "access_denied")]
    error: Option<String>,
}

/// End a log-in at an identity provider
///
/// Where the provider sends the browser back to. The answer is as that of `POST /v1/auth/login`. It is had once: a state that
/// comes back again, comes from another browser, or belongs to another provider is refused. Somebody for whom the provider
/// vouches and who is nobody of the tenant's is told so (403 `not-a-member`).
#[utoipa::path(
    get, path = "/v1/auth/federated/{id}/callback", tag = "auth",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c"), CallbackQuery),
    responses((status = 200, description = "Logged in.", body = TokenResponse)),
)]
pub(crate) async fn finish_federated_login(
    state: Data<AppState>,
    request: HttpRequest,
    Id(id): Id<IdentityProviderId>,
    Query(query): Query<CallbackQuery>,
) -> Result<HttpResponse, ApiError> {
    let presented = state.presented(&request);
    let client = state.client(&request).to_string();
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let (Some(code), Some(login_state), None) = (&query.code, &query.state, &query.error) else {
        // Nothing was guessed: the person has thought better of it, or the provider does not let them in.
        return Err(ApiError::FederatedLoginFailed);
    };
    let back = LoginReturn {
        provider: id,
        code,
        state: login_state,
        issuer: query.iss.as_deref(),
        handle: cookie::get(&state, &request),
        redirect_uri: &callback_of(&state, id),
        visitor: Visitor {
            from: presented.address(),
            user_agent: user_agent(&request),
            request: Request { id: context.id.as_str(), address: &client },
        },
    };
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let ask = || presented.ask();
    let finish = state.authenticator.finish_federated_login(&state.db, &back, ask, admit, state.clock.now());
    let result = Box::pin(finish).await;
    state.count(Credential::Federated, &result);
    let result = match result {
        Err(AuthError::NotAdmitted) => return Err(ApiError::NotAMember),
        other => presented.settle(other).map_err(|error| match error {
            ApiError::LoginFailed => ApiError::FederatedLoginFailed,
            other => other,
        })?,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(TokenResponse::from(result)))
}
