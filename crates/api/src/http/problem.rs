//! Problem documents (RFC 9457): the one place that turns an error into an answer, and that logs it.

use std::error::Error as _;

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
};
use bulkhead_telemetry::chain;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::error::{ApiError, FieldError};

/// The media type of problem documents.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for people and programs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem; never changes for a `code`.
    #[serde(rename = "type")]
    #[schema(example = "urn:bulkhead:problem:not-found")]
    pub(crate) kind: String,
    /// The status in words.
    #[schema(example = "Not Found")]
    pub(crate) title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub(crate) status: u16,
    /// What went wrong and what to do about it.
    #[schema(example = "There is no such resource.")]
    pub(crate) detail: String,
    /// The stable code that programs branch on.
    #[schema(example = "not-found")]
    pub(crate) code: String,
    /// Names this request in our logs.
    #[schema(example = "01jd3e2x6m7k9")]
    pub(crate) request_id: String,
    /// What is wrong with which field, when the body was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) errors: Vec<FieldError>,
    /// What the second step of a log-in is taken with, when the first one has shown the right password.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, example = "bh_lc_…")]
    pub(crate) challenge: Option<String>,
}

impl Problem {
    /// The document of an error.
    pub(crate) fn of(error: &ApiError, request_id: &str) -> Self {
        let code = error.code();
        let kind = match error {
            // Registered by the RateLimit draft for exactly this.
            ApiError::RateLimited { .. } => {
                "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned()
            }
            _ => format!("urn:bulkhead:problem:{code}"),
        };
        let errors = match error {
            ApiError::Validation(errors) => errors.clone(),
            ApiError::UnfitField(error) => vec![error.clone()],
            _ => Vec::new(),
        };
        Self {
            kind,
            title: error.status().canonical_reason().unwrap_or("Error").to_owned(),
            status: error.status().as_u16(),
            detail: error.to_string(),
            code: code.to_owned(),
            request_id: request_id.to_owned(),
            errors,
            challenge: match error {
                ApiError::SecondFactorRequired { challenge, .. } => Some(challenge.reveal().to_owned()),
                _ => None,
            },
        }
    }
}

/// Writes an error as a problem document and logs it if it is ours.
pub(crate) fn respond(error: &ApiError, request_id: &str) -> HttpResponse {
    log(error);
    let mut response = HttpResponse::build(error.status());
    response.content_type(MEDIA_TYPE);
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.insert_header((header::RETRY_AFTER, seconds.max(1)));
    }
    match error {
        ApiError::MissingCredentials
        | ApiError::LoginFailed
        | ApiError::FederatedLoginFailed
        | ApiError::SecondFactorFailed => {
            response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        ApiError::InvalidCredentials => {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        // RFC 6750 section 3.1. A permission's name is made of what a scope may be made of.
        ApiError::Forbidden { needs } => {
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{needs}\"");
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        ApiError::AlreadyCompleted { location: Some(location) } => {
            response.insert_header((header::LOCATION, location.as_str()));
        }
        _ => {}
    }
    response.json(Problem::of(error, request_id))
}

/// Replaces the body of an answer that failed by its problem document. Errors of the framework, which our own routes
/// and extractors do not leave room for, become what is nearest to them.
pub(crate) fn render(response: HttpResponse, request_id: &str) -> HttpResponse {
    match response.error() {
        None => response,
        Some(error) => match error.as_error::<ApiError>() {
            Some(error) => respond(error, request_id),
            None => {
                let status = error.as_response_error().status_code();
                let error = match status.as_u16() {
                    404 => ApiError::UnknownRoute,
                    405 => ApiError::MethodNotAllowed,
                    408 => ApiError::RequestTimeout,
                    400..=499 => {
                        ApiError::InvalidParameter { name: "The request", detail: "is malformed".to_owned() }
                    }
                    _ => ApiError::internal(error.to_string()),
                };
                respond(&error, request_id)
            }
        },
    }
}

fn log(error: &ApiError) {
    let causes = error.source().map(chain).unwrap_or_default();
    match error {
        ApiError::Internal(_) => tracing::error!(code = error.code(), cause = %causes, "request failed"),
        ApiError::Unavailable(_) => tracing::warn!(code = error.code(), cause = %causes, "request refused"),
        _ => tracing::debug!(code = error.code(), "request refused"),
    }
}
