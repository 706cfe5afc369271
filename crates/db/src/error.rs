//! What can go wrong with the database, sorted by what the caller can do about it.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection could be had; nothing was written. Worth trying again after a pause.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),

    /// No connection became free in time; nothing was written. Worth trying again after a pause.
    #[error("no database connection became free in time")]
    Busy,

    /// The tenant has as many connections as it may, and none of them became free in time; nothing was written.
    #[error("no connection of the tenant's share became free in time")]
    OverShare,

    /// No answer came in time. A transaction that was being committed may or may not have happened.
    #[error("the database did not answer in time")]
    Timeout,

    /// The server cancelled the statement (statement or lock time-out); the transaction is rolled back.
    #[error("the database cancelled the statement: {0}")]
    Cancelled(String),

    /// A unique constraint refused the row.
    #[error("already taken ({constraint})")]
    AlreadyExists {
        /// The constraint's name.
        constraint: String,
    },

    /// The transaction lost a race (serialization failure, deadlock); worth running again.
    #[error("the transaction lost a race and was rolled back")]
    Conflict,

    /// A walled-off object was touched, or no tenant role was in force.
    #[error("permission denied: {0}")]
    Denied(String),

    /// The transaction had already failed, so it was rolled back instead of committed.
    #[error("the transaction had failed before and was rolled back")]
    Aborted,

    /// A row holds something that this version cannot read.
    #[error("unreadable row: {0}")]
    Unreadable(String),

    /// Tenants have been migrated further than this program knows; a newer one, which is being rolled out, has to do it.
    #[error("tenants have been migrated by a newer version of this program, which has to do this")]
    Outdated,

    /// The server, its roles or its schemas are not as they must be; a person has to act.
    #[error("the database is not set up as it must be: {0}")]
    Setup(String),

    /// Anything else the server or the driver reported.
    #[error("database error: {0}")]
    Query(#[source] DieselError),
}

/// How PostgreSQL words it (plancache.c).
const STALE_PLAN: &str = "cached plan must not change result type";

/// The result of a database operation.
pub type DbResult<T> = Result<T, DbError>;

impl DbError {
    /// Whether the connection's prepared statements no longer fit their tables, as after a migration that changes a
    /// column's type.
    pub(crate) fn is_about_stale_plans(&self) -> bool {
        matches!(self, Self::Unavailable(message) if message.starts_with(STALE_PLAN))
    }

    /// Whether running the same work again later may succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Busy
                | Self::OverShare
                | Self::Timeout
                | Self::Cancelled(_)
                | Self::Conflict
                | Self::Outdated
        )
    }
}

impl From<DieselError> for DbError {
    fn from(error: DieselError) -> Self {
        let DieselError::DatabaseError(kind, info) = error else {
            return match error {
                DieselError::DeserializationError(source) => Self::Unreadable(source.to_string()),
                other => Self::Query(other),
            };
        };
        match kind {
            DatabaseErrorKind::UniqueViolation => {
                Self::AlreadyExists { constraint: info.constraint_name().unwrap_or("unknown").to_owned() }
            }
            DatabaseErrorKind::SerializationFailure => Self::Conflict,
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Self::Unavailable(info.message().to_owned())
            }
            _ => by_message(kind, info),
        }
    }
}

/// diesel does not hand the SQLSTATE on for every kind, so the rest is told apart by the server's wording. That is why
/// the database must speak English (`lc_messages`), which `bulkhead doctor` checks.
fn by_message(kind: DatabaseErrorKind, info: Box<dyn DatabaseErrorInformation + Send + Sync>) -> DbError {
    let message = info.message();
    if message.starts_with("permission denied") || message == "no tenant role is in force" {
        DbError::Denied(message.to_owned())
    } else if message.starts_with("canceling statement")
        || message.contains("due to idle-in-transaction timeout")
    {
        DbError::Cancelled(message.to_owned())
    } else if message == "deadlock detected" {
        DbError::Conflict
    } else if message.contains("terminating connection")
        || message.contains("the database system is")
        || message.contains("connection closed")
        || message.contains("error communicating with the server")
        || message.starts_with(STALE_PLAN)
    {
        DbError::Unavailable(message.to_owned())
    } else if message.starts_with("current transaction is aborted") {
        DbError::Aborted
    } else {
        DbError::Query(DieselError::DatabaseError(kind, info))
    }
}
