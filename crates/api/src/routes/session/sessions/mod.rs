//! A person's own sessions: where they are logged in.

mod end;
mod end_others;
mod list;

use bulkhead_db::sessions::LivingSession;
use bulkhead_domain::SessionId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::operation::{Access, operations};

operations! {
    list::list_sessions => Access::Person, [], List;
    end::end_session => Access::Person, [];
    end_others::end_sessions => Access::Person, [];
}

/// A log-in that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionResponse {
    /// Its id.
    #[schema(value_type = String, example = "ses_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: SessionId,
    /// Whether this request belongs to it.
    current: bool,
    /// The first 256 characters of the `User-Agent` of the log-in; null when none was sent, or by a log-in of before it was kept.
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")]
    user_agent: Option<String>,
    /// The address of the log-in; null for one of before it was kept.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    /// When the person has logged in.
    created_at: DateTime<Utc>,
    /// When its tokens were last exchanged.
    last_used_at: DateTime<Utc>,
    /// When it ends by itself.
    expires_at: DateTime<Utc>,
}

impl SessionResponse {
    /// `current` is the session of the request, if that has one.
    pub(crate) fn of(session: LivingSession, current: Option<SessionId>) -> Self {
        let LivingSession { id, user_agent, address, created_at, used_at, expires_at } = session;
        Self {
            id,
            current: Some(id) == current,
            user_agent,
            address,
            created_at,
            last_used_at: used_at,
            expires_at,
        }
    }
}
