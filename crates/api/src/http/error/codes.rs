//! The codes of the core's problems. Each stands here, so that none of an extension's has one of them.

macro_rules! codes {
    ($($name:ident = $code:literal;)+) => {
        $(pub(super) const $name: &str = $code;)+
        pub(super) const ALL: &[&str] = &[$($name),+];
    };
}

codes! {
    MALFORMED_JSON = "malformed-json";
    INVALID_BODY = "invalid-body";
    VALIDATION_FAILED = "validation-failed";
    BODY_TOO_LARGE = "body-too-large";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type";
    INVALID_PARAMETER = "invalid-parameter";
    MISSING_CREDENTIALS = "missing-credentials";
    INVALID_CREDENTIALS = "invalid-credentials";
    LOGIN_FAILED = "login-failed";
    SECOND_FACTOR_REQUIRED = "second-factor-required";
    SECOND_FACTOR_ENROLMENT_REQUIRED = "second-factor-enrolment-required";
    SECOND_FACTOR_FAILED = "second-factor-failed";
    INSUFFICIENT_PERMISSION = "insufficient-permission";
    PERSON_REQUIRED = "person-required";
    ROLE_NOT_GRANTABLE = "role-not-grantable";
    NOT_A_MEMBER = "not-a-member";
    TENANT_SUSPENDED = "tenant-suspended";
    TENANT_MISMATCH = "tenant-mismatch";
    NOT_FOUND = "not-found";
    UNKNOWN_ROUTE = "unknown-route";
    METHOD_NOT_ALLOWED = "method-not-allowed";
    ALREADY_TAKEN = "already-taken";
    PLAN_LIMIT_REACHED = "plan-limit-reached";
    LAST_OWNER = "last-owner";
    LAST_ADMIN = "last-admin";
    WRONG_STATE = "wrong-state";
    IDEMPOTENCY_IN_PROGRESS = "idempotency-in-progress";
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused";
    ALREADY_COMPLETED = "already-completed";
    PRECONDITION_FAILED = "precondition-failed";
    RATE_LIMITED = "rate-limited";
    TOO_MANY_IN_FLIGHT = "too-many-in-flight";
    REQUEST_TIMEOUT = "request-timeout";
    UNAVAILABLE = "unavailable";
    INTERNAL = "internal";
}

/// Whether a code is one of these.
pub(super) const fn is_core(code: &str) -> bool {
    let mut rest = ALL;
    while let [known, behind @ ..] = rest {
        if is_same(known.as_bytes(), code.as_bytes()) {
            return true;
        }
        rest = behind;
    }
    false
}

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([first, one_behind @ ..], [second, other_behind @ ..]) = (one, other) {
        if *first != *second {
            return false;
        }
        (one, other) = (one_behind, other_behind);
    }
    one.is_empty() && other.is_empty()
}
