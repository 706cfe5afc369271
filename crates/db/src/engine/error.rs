//! What can go wrong with the database, sorted by what the caller can do about it.

use bulkhead_telemetry::metrics::DbFailure;
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

    /// The server answers and refuses, for a reason of its own that may pass: it takes no writes, or a disk, its
    /// memory, its connections or another limit is used up. What the transaction had done is undone. An operator has
    /// to look.
    #[error("the database refuses ({}): {message}", why.as_str())]
    Refused {
        /// Why.
        why: DbFailure,
        /// What the server said.
        message: String,
    },

    /// A unique constraint refused the row.
    #[error("already taken ({constraint})")]
    AlreadyExists {
        /// The constraint's name.
        constraint: String,
    },

    /// A foreign key refused the change: the row refers to one that is not there, or a row that is to go is referred to.
    #[error("a reference would lead nowhere ({constraint})")]
    BrokenReference {
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

    /// Tenants are built in a way that this program cannot read; a newer one has to do it.
    #[error("tenants are built as a newer version of this program says, which has to do this")]
    Outdated,

    /// The database does not say yet at which version tenants are built: `bulkhead migrate` writes it down.
    #[error("the database was never migrated to the end: run `migrate`")]
    NotMigrated,

    /// A migration was changed after the database had recorded it under its name; a person has to take the change back.
    #[error("{file} was changed after it was applied: take the change back and add another migration")]
    MigrationChanged {
        /// The file, below the migrations of its set.
        file: String,
    },

    /// No tenant can be built: a migration fails in an empty schema; a person has to mend it.
    #[error("{migration} fails in an empty schema: {why}")]
    Unbuildable {
        /// Its set and its name.
        migration: String,
        /// What the server said.
        why: String,
    },

    /// While a run of `migrate` was going on, another one has changed what tenants are to get. Worth running again.
    #[error("another run of `migrate` has changed what tenants are to get: run this again")]
    Outrun,

    /// The server, its roles or its schemas are not as they must be; a person has to act.
    #[error("the database is not set up as it must be: {0}")]
    Setup(String),

    /// Anything else the server or the driver reported.
    #[error("database error: {0}")]
    Query(DieselError),
}

/// One of several messages that failed.
#[derive(Debug)]
pub(crate) struct BatchError {
    /// Its place among them, from zero.
    pub(crate) place: usize,
    pub(crate) error: DbError,
}

/// The first words of a cancelled statement's error (postgres.c).
const CANCELLED: &str = "canceling statement";

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

    /// The same error as a read-only transaction of ours reads it. Such a transaction may not write because we began it
    /// so, which says nothing about the server.
    pub(crate) fn in_read_only(self) -> Self {
        match self {
            Self::Refused { why: DbFailure::ReadOnly, message } => Self::Denied(message),
            other => other,
        }
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
                | Self::Refused { .. }
                | Self::Conflict
                | Self::Outdated
                | Self::NotMigrated
        )
    }

    /// Whether the work was too much for its time, so that less of it may fit. Waiting for a lock says nothing about that.
    pub fn took_too_long(&self) -> bool {
        matches!(self.failure(), Some(DbFailure::NoAnswer | DbFailure::StatementTimeout))
    }

    /// What this says about the server, for the metric of failures that alerts watch. `None` when it is about the
    /// request.
    pub(crate) fn failure(&self) -> Option<DbFailure> {
        match self {
            Self::Refused { why, .. } => Some(*why),
            Self::Timeout => Some(DbFailure::NoAnswer),
            Self::Unavailable(_) if !self.is_about_stale_plans() => Some(DbFailure::Unavailable),
            // A statement that we have cancelled ourselves, with its connection, says nothing.
            Self::Cancelled(message) if message.contains("statement timeout") => {
                Some(DbFailure::StatementTimeout)
            }
            Self::Cancelled(message) if message.contains("lock timeout") => Some(DbFailure::LockTimeout),
            _ => None,
        }
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
            DatabaseErrorKind::ForeignKeyViolation => {
                Self::BrokenReference { constraint: info.constraint_name().unwrap_or("unknown").to_owned() }
            }
            DatabaseErrorKind::SerializationFailure => Self::Conflict,
            DatabaseErrorKind::ReadOnlyTransaction => {
                Self::Refused { why: DbFailure::ReadOnly, message: info.message().to_owned() }
            }
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
    } else if message.starts_with(CANCELLED) || message.contains("due to idle-in-transaction timeout") {
        DbError::Cancelled(message.to_owned())
    } else if message == "deadlock detected" {
        DbError::Conflict
    } else if let Some(why) = refusal(message) {
        DbError::Refused { why, message: message.to_owned() }
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

/// Which resource of the server is used up or broken, by the wording of its error: errors of class 53 (insufficient
/// resources) and 58 (system error), and the one error of class 54 that is not about the statement. The words after a
/// file's name come from the C library, which PostgreSQL asks in the same language.
pub(crate) fn refusal(message: &str) -> Option<DbFailure> {
    let begins = |words: &[&str]| words.iter().any(|words| message.starts_with(words));
    let ends = |words: &[&str]| words.iter().any(|words| message.ends_with(words));
    if ends(&[": No space left on device", ": Disk quota exceeded"]) {
        Some(DbFailure::DiskFull)
    } else if begins(&["out of memory", "out of shared memory"]) || ends(&[": Cannot allocate memory"]) {
        Some(DbFailure::OutOfMemory)
    } else if begins(&["sorry, too many clients", "remaining connection slots", "too many connections"]) {
        Some(DbFailure::TooManyConnections)
    } else if begins(&["temporary file size exceeds", "database is not accepting commands"])
        || ends(&[": Too many open files", ": Too many open files in system"])
    {
        Some(DbFailure::Limit)
    } else if begins(&["could not "])
        && ends(&[": Input/output error", ": Read-only file system", ": No such file or directory"])
    {
        Some(DbFailure::Io)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> DbError {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned())).into()
    }

    /// The texts of PostgreSQL 15 to 18 for the conditions that a test cannot bring about, by their SQLSTATE;
    /// `tests/it/refusals.rs` has the others.
    #[test]
    fn a_server_that_refuses_is_told_from_a_request_that_is_wrong() {
        for (message, why) in [
            // 53100
            ("could not extend file \"base/16384/16999\": No space left on device", DbFailure::DiskFull),
            (
                "could not write to file \"base/pgsql_tmp/pgsql_tmp1.0\": Disk quota exceeded",
                DbFailure::DiskFull,
            ),
            (
                "could not resize shared memory segment \"/PostgreSQL.1\" to 8388608 bytes: No space left on device",
                DbFailure::DiskFull,
            ),
            // 53200
            ("out of memory", DbFailure::OutOfMemory),
            ("out of shared memory", DbFailure::OutOfMemory),
            ("could not fork new process for connection: Cannot allocate memory", DbFailure::OutOfMemory),
            // 53300
            ("sorry, too many clients already", DbFailure::TooManyConnections),
            (
                "remaining connection slots are reserved for roles with the SUPERUSER attribute",
                DbFailure::TooManyConnections,
            ),
            ("too many connections for role \"bulkhead_tenant\"", DbFailure::TooManyConnections),
            // 53400, 54000, 53000
            ("temporary file size exceeds temp_file_limit (1024kB)", DbFailure::Limit),
            (
                "database is not accepting commands to avoid wraparound data loss in database \"bulkhead\"",
                DbFailure::Limit,
            ),
            (
                "database is not accepting commands that assign new transaction IDs to avoid wraparound data loss in database \"bulkhead\"",
                DbFailure::Limit,
            ),
            ("could not open file \"base/16384/16999\": Too many open files in system", DbFailure::Limit),
            // 58030, 58P01
            ("could not fsync file \"base/16384/16999\": Input/output error", DbFailure::Io),
            ("could not open file \"base/16384/16999\": Read-only file system", DbFailure::Io),
            ("could not open file \"pg_xact/0000\": No such file or directory", DbFailure::Io),
        ] {
            let error = read(message);
            assert!(matches!(&error, DbError::Refused { why: found, .. } if *found == why), "{error:?}");
            assert!(error.is_transient() && error.failure() == Some(why));
        }
        for message in [
            "value too long for type character varying(3): No space",
            "job payload is over 64 KiB",
            "invalid page in block 3 of relation base/16384/16999",
            "relation \"out of memory\" does not exist",
        ] {
            assert!(matches!(read(message), DbError::Query(_)), "{message}");
            assert_eq!(read(message).failure(), None);
        }
    }

    #[test]
    fn what_ends_a_session_or_a_statement_may_pass() {
        for (message, why) in [
            // 57P01, 57P02, 57P03, 57P05, 25P04
            ("terminating connection due to administrator command", Some(DbFailure::Unavailable)),
            (
                "terminating connection because of crash of another server process",
                Some(DbFailure::Unavailable),
            ),
            ("the database system is in recovery mode", Some(DbFailure::Unavailable)),
            ("the database system is not yet accepting connections", Some(DbFailure::Unavailable)),
            ("terminating connection due to idle-session timeout", Some(DbFailure::Unavailable)),
            ("terminating connection due to transaction timeout", Some(DbFailure::Unavailable)),
            // 57014, 55P03
            ("canceling statement due to statement timeout", Some(DbFailure::StatementTimeout)),
            ("canceling statement due to lock timeout", Some(DbFailure::LockTimeout)),
            ("canceling statement due to user request", None),
            // 40P01
            ("deadlock detected", None),
        ] {
            let error = read(message);
            assert!(error.is_transient(), "{error:?}");
            assert_eq!(error.failure(), why, "{message}");
            assert_eq!(error.took_too_long(), why == Some(DbFailure::StatementTimeout), "{message}");
        }
    }
}
