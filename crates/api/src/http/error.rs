//! What goes wrong, as clients are told.
//!
//! One closed enum for the whole API. Every variant has a stable `code` and a status; the match is exhaustive, so a new
//! way to fail cannot slip out as something else. An extension declares its own problems as [`ProblemDef`]s, which
//! one variant carries. Answers are RFC 9457 problems. What happened inside is kept in the error's source, logged
//! once by `problem::render`, and never told to the client.

use std::{fmt, time::Duration};

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use bulkhead_auth::ChallengeText;
use bulkhead_db::DbError;
use bulkhead_domain::RoleName;

/// What was wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where: a JSON Pointer (RFC 6901) into the body.
    #[schema(example = "/email")]
    pub pointer: String,
    /// What is wrong with it.
    #[schema(example = "must be at most 200 characters long")]
    pub detail: String,
}

impl FieldError {
    /// A complaint about the field at `pointer`.
    pub fn new(pointer: &str, detail: impl fmt::Display) -> Self {
        Self { pointer: pointer.to_owned(), detail: detail.to_string() }
    }
}

mod codes;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A kind of problem that an extension adds: what programs branch on, and what people read.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemDef {
    code: &'static str,
    status: u16,
    detail: &'static str,
}

impl ProblemDef {
    /// A problem with a `code` of lower-case words joined by hyphens, which never changes and is not one of the core's, a status
    /// from 400 to 499, and a sentence that says what went wrong and what to do about it. `Catalog::assemble` refuses two
    /// problems with one code among those that operations list.
    ///
    /// # Panics
    ///
    /// When one of these is otherwise: in a `static`, where it belongs, that does not compile.
    pub const fn new(code: &'static str, status: u16, detail: &'static str) -> Self {
        assert!(is_code(code.as_bytes()), "a problem's code is lower-case words joined by hyphens");
        assert!(!codes::is_core(code), "the core has a problem with this code");
        assert!(
            400 <= status && status <= 499,
            "a declared problem is the client's to solve: its status is 400 to 499"
        );
        assert!(!detail.is_empty(), "a problem says what went wrong");
        Self { code, status, detail }
    }

    /// The error that is answered with this problem.
    pub const fn error(&'static self) -> ApiError {
        ApiError::Declared(self)
    }
}

const fn is_code(mut text: &[u8]) -> bool {
    let mut follows_hyphen = true;
    while let [first, rest @ ..] = text {
        match first {
            b'a'..=b'z' | b'0'..=b'9' => follows_hyphen = false,
            b'-' if !follows_hyphen => follows_hyphen = true,
            _ => return false,
        }
        text = rest;
    }
    !follows_hyphen
}

/// A request that is not answered as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON.
    #[error("The request body is not valid JSON: {0}")]
    MalformedJson(String),
    /// The body is JSON of another shape than the operation takes.
    #[error("The request body does not fit: {0}")]
    InvalidBody(String),
    /// A field of the body is of another shape than the operation takes.
    #[error("The request body does not fit: {} {}.", .0.pointer, .0.detail)]
    UnfitField(FieldError),
    /// Fields hold values that are not allowed.
    #[error("Some fields hold values that are not allowed.")]
    Validation(Vec<FieldError>),
    /// The body is over the limit.
    #[error("The request body is larger than the {limit} bytes allowed.")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body is not declared as JSON, or is compressed.
    #[error("Send the request body as application/json, without a Content-Encoding.")]
    UnsupportedMediaType,
    /// A header or a query parameter holds a value that is not allowed.
    #[error("{name} {detail}.")]
    InvalidParameter {
        /// The header or parameter.
        name: &'static str,
        /// What is wrong with it, a phrase that follows its name.
        detail: String,
    },
    /// A query parameter cannot be read.
    #[error("{parameter} {detail}.")]
    InvalidQuery {
        /// The parameter, as the caller has named it.
        parameter: String,
        /// What is wrong with it, a phrase that follows its name.
        detail: String,
    },
    /// No credential was sent.
    #[error("Send an access token or an API key: Authorization: Bearer …, or X-API-Key: ….")]
    MissingCredentials,
    /// The credential is not good, for whatever reason: telling which would help an attacker.
    #[error("The credential is not valid, has expired or was revoked.")]
    InvalidCredentials,
    /// Tenant, e-mail address or password is wrong; which one is not told.
    #[error("The tenant, the e-mail address or the password is wrong.")]
    LoginFailed,
    /// What a browser has brought from an identity provider opens no session; why is not told.
    #[error("This log-in is over, was used already, or was begun elsewhere. Begin it again.")]
    FederatedLoginFailed,
    /// The first step of a log-in is done, and a code has to be shown, too.
    #[error(
        "The first step is done. {}",
        if *enrols {
            "You need a second factor: set one up with the challenge, and log in with a code of it."
        } else {
            "Log in with the challenge and a code of your second factor."
        }
    )]
    SecondFactorRequired {
        /// What the code is sent with.
        challenge: ChallengeText,
        /// Whether the person has no second factor yet and must have one.
        enrols: bool,
    },
    /// The challenge of a log-in or its code is no good; which one is not told.
    #[error(
        "The code is wrong or was used, or the challenge is over. Wait for another code, or log in with the password again."
    )]
    SecondFactorFailed,
    /// The principal lacks a permission.
    #[error("This needs the permission {needs}, which your role does not have.")]
    Forbidden {
        /// The permission.
        needs: &'static str,
    },
    /// The operation is about a session, a password or a second factor, and the caller is an API key, or an operator who impersonates a
    /// user: only the user has those.
    #[error("Log in for this yourself: it is not for API keys, nor for those who act as somebody else.")]
    PersonRequired,
    /// The principal's role may not grant this role to a user or an API key, or take it from one, nor make or change it.
    #[error(
        "Your role may not grant, remove or change the role {role}, as it does not hold {lacking} itself."
    )]
    RoleNotGrantable {
        /// The role.
        role: RoleName,
        /// What of it the principal's role does not hold.
        lacking: String,
    },
    /// An identity provider vouches for a person, and the tenant has no such user: no identity is linked, and the provider may not add
    /// users.
    #[error(
        "The identity provider has said who you are, but you are not linked to anybody here, and could not be added. Ask an \
         administrator of the tenant."
    )]
    NotAMember,
    /// The principal's tenant is closed.
    #[error("This tenant is suspended. Contact the operator of the platform.")]
    TenantSuspended,
    /// A tenant was named that is not the credential's.
    #[error("The request names another tenant than the credential belongs to.")]
    TenantMismatch,
    /// There is no such thing, or it is another tenant's.
    #[error("There is no such resource.")]
    NotFound,
    /// There is no such path.
    #[error("There is no such path. The API is described at /openapi.json.")]
    UnknownRoute,
    /// The path exists, the method does not.
    #[error("This path does not take that method.")]
    MethodNotAllowed,
    /// A name that must be unique is in use.
    #[error("This {what} is already taken.")]
    Taken {
        /// What it is the name of.
        what: &'static str,
    },
    /// The tenant has as many of something as its plan allows.
    #[error("The plan allows {most} {what}, and there are as many. Remove one, or have the plan changed.")]
    PlanLimitReached {
        /// Of what.
        what: &'static str,
        /// How many.
        most: i64,
    },
    /// The tenant would be left without an owner.
    #[error("A tenant keeps at least one owner. Make somebody else an owner first.")]
    LastOwner,
    /// The platform would be left without an operator who may do everything.
    #[error("The platform keeps at least one operator with the role admin who can log in.")]
    LastAdmin,
    /// The thing is in a state in which this cannot be done.
    #[error("{0}")]
    WrongState(&'static str),
    /// A problem that an extension has declared.
    #[error("{}", .0.detail)]
    Declared(&'static ProblemDef),
    /// A request with the same idempotency key is being answered.
    #[error("A request with this Idempotency-Key is being answered right now. Repeat it shortly.")]
    IdempotencyInProgress,
    /// The idempotency key was used for something else.
    #[error("This Idempotency-Key was used for a different request. Use a new key.")]
    IdempotencyKeyReused,
    /// The request was answered before, and its answer is not kept: it showed a secret, or what it was about is gone.
    #[error(
        "This request was completed before, and its answer is not kept{}.",
        if location.is_some() { "; see Location" } else { "" }
    )]
    AlreadyCompleted {
        /// Where its result is; none when the answer had none.
        location: Option<String>,
    },
    /// The thing has changed since the client read it.
    #[error("The resource has changed since you read it. Read it again and repeat with its new ETag.")]
    PreconditionFailed,
    /// The tenant's or the address's bucket is empty.
    #[error("The request limit is used up. Wait as long as Retry-After says.")]
    RateLimited {
        /// When it makes sense to come back.
        retry_after: Duration,
    },
    /// The tenant has too many requests in flight.
    #[error(
        "Too many requests of yours, or too large ones, are being answered at once. Wait for some of them."
    )]
    TooManyInFlight,
    /// The request's body did not arrive in time.
    #[error("The request body did not arrive in time.")]
    RequestTimeout,
    /// Something needed is away; nothing is known to have been written.
    #[error("The service is temporarily unable to answer. Repeat the request.")]
    Unavailable(#[source] Source),
    /// Our fault.
    #[error("Something went wrong on our side. The request id helps us to find it.")]
    Internal(#[source] Source),
}

impl ApiError {
    /// The stable code that programs branch on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MalformedJson(_) => codes::MALFORMED_JSON,
            Self::InvalidBody(_) | Self::UnfitField(_) => codes::INVALID_BODY,
            Self::Validation(_) => codes::VALIDATION_FAILED,
            Self::BodyTooLarge { .. } => codes::BODY_TOO_LARGE,
            Self::UnsupportedMediaType => codes::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidParameter { .. } | Self::InvalidQuery { .. } => codes::INVALID_PARAMETER,
            Self::MissingCredentials => codes::MISSING_CREDENTIALS,
            Self::InvalidCredentials => codes::INVALID_CREDENTIALS,
            Self::LoginFailed | Self::FederatedLoginFailed => codes::LOGIN_FAILED,
            Self::SecondFactorRequired { enrols: false, .. } => codes::SECOND_FACTOR_REQUIRED,
            Self::SecondFactorRequired { enrols: true, .. } => codes::SECOND_FACTOR_ENROLMENT_REQUIRED,
            Self::SecondFactorFailed => codes::SECOND_FACTOR_FAILED,
            Self::Forbidden { .. } => codes::INSUFFICIENT_PERMISSION,
            Self::PersonRequired => codes::PERSON_REQUIRED,
            Self::RoleNotGrantable { .. } => codes::ROLE_NOT_GRANTABLE,
            Self::NotAMember => codes::NOT_A_MEMBER,
            Self::TenantSuspended => codes::TENANT_SUSPENDED,
            Self::TenantMismatch => codes::TENANT_MISMATCH,
            Self::NotFound => codes::NOT_FOUND,
            Self::UnknownRoute => codes::UNKNOWN_ROUTE,
            Self::MethodNotAllowed => codes::METHOD_NOT_ALLOWED,
            Self::Taken { .. } => codes::ALREADY_TAKEN,
            Self::PlanLimitReached { .. } => codes::PLAN_LIMIT_REACHED,
            Self::LastOwner => codes::LAST_OWNER,
            Self::LastAdmin => codes::LAST_ADMIN,
            Self::WrongState(_) => codes::WRONG_STATE,
            Self::Declared(problem) => problem.code,
            Self::IdempotencyInProgress => codes::IDEMPOTENCY_IN_PROGRESS,
            Self::IdempotencyKeyReused => codes::IDEMPOTENCY_KEY_REUSED,
            Self::AlreadyCompleted { .. } => codes::ALREADY_COMPLETED,
            Self::PreconditionFailed => codes::PRECONDITION_FAILED,
            Self::RateLimited { .. } => codes::RATE_LIMITED,
            Self::TooManyInFlight => codes::TOO_MANY_IN_FLIGHT,
            Self::RequestTimeout => codes::REQUEST_TIMEOUT,
            Self::Unavailable(_) => codes::UNAVAILABLE,
            Self::Internal(_) => codes::INTERNAL,
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        match self {
            // A status from 400 to 499 is one.
            Self::Declared(problem) => {
                StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::MalformedJson(_)
            | Self::InvalidParameter { .. }
            | Self::InvalidQuery { .. }
            | Self::TenantMismatch => StatusCode::BAD_REQUEST,
            Self::MissingCredentials
            | Self::InvalidCredentials
            | Self::LoginFailed
            | Self::FederatedLoginFailed
            | Self::SecondFactorFailed => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. }
            | Self::SecondFactorRequired { .. }
            | Self::PersonRequired
            | Self::RoleNotGrantable { .. }
            | Self::NotAMember
            | Self::TenantSuspended => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Taken { .. }
            | Self::PlanLimitReached { .. }
            | Self::LastOwner
            | Self::LastAdmin
            | Self::WrongState(_)
            | Self::IdempotencyInProgress
            | Self::AlreadyCompleted { .. } => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidBody(_) | Self::UnfitField(_) | Self::Validation(_) | Self::IdempotencyKeyReused => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::RateLimited { .. } | Self::TooManyInFlight => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// How long the client should wait before it asks again, where waiting helps.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::TooManyInFlight | Self::IdempotencyInProgress | Self::Unavailable(_) => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// An internal error from anything that explains itself.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    /// The error of one field.
    pub fn field(pointer: &str, detail: impl fmt::Display) -> Self {
        Self::Validation(vec![FieldError::new(pointer, detail)])
    }
}

/// What may pass is 503: nothing is known to have been written, and the same request may be repeated. That holds for a lost
/// race (serialization failure, deadlock), too; [`ApiError::PreconditionFailed`] is for an object that another request has
/// changed before.
impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::OverShare => Self::TooManyInFlight,
            transient if transient.is_transient() => Self::Unavailable(Box::new(transient)),
            other => Self::Internal(Box::new(other)),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    /// Only the status: `problem::render`, which knows the request's id, writes the body.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status())
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_telemetry::metrics::DbFailure;

    use super::*;

    #[test]
    fn a_problems_code_is_words_joined_by_hyphens() {
        for good in ["already-sent", "sent", "e2-e3"] {
            assert!(is_code(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "a-", "-a", "a--b", "A", "a b", "a_b", "ä"] {
            assert!(!is_code(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_code_of_the_core_is_not_to_be_had() {
        for code in codes::ALL {
            let taken = std::panic::catch_unwind(|| ProblemDef::new(code, 409, "It was sent."));
            assert!(taken.is_err(), "{code}");
        }
        for code in ["not-found-here", "not", "found", "nut-found"] {
            assert_eq!(ProblemDef::new(code, 409, "It was sent.").code, code);
        }
        assert_eq!((ApiError::NotFound.code(), codes::ALL.contains(&"not-found")), ("not-found", true));
    }

    #[test]
    fn a_declared_problem_says_what_it_was_declared_with() {
        static SENT: ProblemDef = ProblemDef::new("already-sent", 409, "It was sent.");
        let error = SENT.error();
        assert_eq!((error.code(), error.status()), ("already-sent", StatusCode::CONFLICT));
        assert_eq!(error.to_string(), "It was sent.");
    }

    #[test]
    fn whatever_may_pass_is_503_with_the_time_to_come_back() {
        let refused = |why| DbError::Refused { why, message: String::new() };
        let passing = DbFailure::ALL.iter().map(|why| refused(*why)).chain([
            DbError::Unavailable(String::new()),
            DbError::Busy,
            DbError::Timeout,
            DbError::Cancelled(String::new()),
            // A serialization failure or a deadlock.
            DbError::Conflict,
        ]);
        for error in passing {
            let error = ApiError::from(error);
            assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{error:?}");
            assert!(error.retry_after().is_some(), "{error:?}");
        }
        let ours = ApiError::from(DbError::Denied(String::new()));
        assert_eq!((ours.status(), ours.retry_after()), (StatusCode::INTERNAL_SERVER_ERROR, None));
    }
}
