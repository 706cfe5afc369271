//! Answers, of which those to writes may have to be given again.

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    http::{StatusCode, header},
};
use bulkhead_db::idempotency::StoredAnswer;
use bulkhead_domain::JobId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::{error::ApiError, extract, progress::OperationResponse};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    location: Option<String>,
    etag: Option<String>,
    link: Option<String>,
    body: Option<String>,
    shows_secret: bool,
    replayed: bool,
}

impl Answer {
    fn new(status: StatusCode) -> Self {
        Self {
            status,
            location: None,
            etag: None,
            link: None,
            body: None,
            shows_secret: false,
            replayed: false,
        }
    }

    fn json(mut self, view: &impl Serialize) -> Result<Self, ApiError> {
        self.body = Some(serde_json::to_string(view).map_err(ApiError::internal)?);
        Ok(self)
    }

    /// 201 with what was made and where it is.
    pub fn created(location: String, view: &impl Serialize) -> Result<Self, ApiError> {
        Self { location: Some(location), ..Self::new(StatusCode::CREATED) }.json(view)
    }

    /// 202 with the operation that a client follows: a job that was enqueued in this transaction. Its body is an
    /// [`OperationResponse`].
    pub fn accepted(job: JobId) -> Result<Self, ApiError> {
        Self::accepted_with(job, None)
    }

    /// The same with what is already known of the job's result.
    pub(crate) fn accepted_with(job: JobId, result: Option<Value>) -> Result<Self, ApiError> {
        let location = Some(format!("/v1/operations/{job}"));
        Self { location, ..Self::new(StatusCode::ACCEPTED) }.json(&OperationResponse::queued(job, result))
    }

    /// 202 for what a stranger has sent: nothing is said of what becomes of it.
    pub(crate) fn received() -> Self {
        Self::new(StatusCode::ACCEPTED)
    }

    /// 200 with what there is now.
    pub fn ok(view: &impl Serialize) -> Result<Self, ApiError> {
        Self::new(StatusCode::OK).json(view)
    }

    /// 204.
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT)
    }

    /// Adds the version as an ETag.
    #[must_use]
    pub fn version(mut self, version: i64) -> Self {
        self.etag = Some(extract::etag(version));
        self
    }

    /// The same for what may have none.
    #[must_use]
    pub(crate) fn maybe_version(self, version: Option<i64>) -> Self {
        match version {
            Some(version) => self.version(version),
            None => self,
        }
    }

    /// Adds a `Link`, as a list's page has it to the next.
    #[must_use]
    pub(crate) fn link(mut self, link: Option<String>) -> Self {
        self.link = link;
        self
    }

    /// Marks the body as one that is shown once and never kept.
    #[must_use]
    pub const fn showing_secret(mut self) -> Self {
        self.shows_secret = true;
        self
    }

    /// What is kept of this answer for a repeated request.
    pub(crate) fn to_stored(&self) -> StoredAnswer {
        let body = self.body.as_ref().filter(|_| !self.shows_secret).cloned();
        StoredAnswer { status: self.status.as_u16(), location: self.location.clone(), body }
    }

    /// The kept answer again. One whose body was not kept cannot be repeated.
    pub(crate) fn replay(stored: StoredAnswer) -> Result<Self, ApiError> {
        let status = StatusCode::from_u16(stored.status).map_err(ApiError::internal)?;
        if stored.body.is_none() && status != StatusCode::NO_CONTENT {
            return Err(ApiError::AlreadyCompleted { location: stored.location });
        }
        // An answer about something that has a version shows it in its body.
        let body = stored.body.as_deref().and_then(|body| serde_json::from_str::<Versioned>(body).ok());
        let etag = body.and_then(|body| body.version).map(extract::etag);
        Ok(Self { location: stored.location, etag, body: stored.body, replayed: true, ..Self::new(status) })
    }
}

/// What is read of a kept body: the rest of it may be a tenant's content, of any shape.
#[derive(Deserialize)]
struct Versioned {
    version: Option<i64>,
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        if let Some(etag) = self.etag {
            response.insert_header((header::ETAG, etag));
        }
        if let Some(link) = self.link {
            response.insert_header((header::LINK, link));
        }
        if self.replayed {
            response.insert_header(("idempotent-replayed", "true"));
        }
        match self.body {
            Some(body) => response.content_type("application/json").body(body),
            None => response.finish(),
        }
    }
}
