//! A connection out of its slot, until it comes back.
//!
//! Owns whether it may come back: only a connection that is known to be clean does. Anything else is cancelled and dropped.

use std::{fmt, sync::Arc};

use bulkhead_domain::SchemaName;
use bulkhead_telemetry::metrics::DropReason;
use diesel::{
    pg::Pg,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::AsyncPgConnection;
use tokio::sync::OwnedSemaphorePermit;

use super::{Connection, Right, Shared};
use crate::engine::{
    error::{DbError, DbResult},
    statement::{Marked, StatementKey},
};

/// A connection in use. Dropping it gives it back if it is clean, and otherwise cancels and closes it.
pub(crate) struct Lease {
    pub(super) connection: Option<Box<Connection>>,
    pub(super) clean: bool,
    pub(super) retired: bool,
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    /// Held until the drop is over, so that no other transaction opens a second connection for the slot.
    pub(super) _permit: OwnedSemaphorePermit,
    /// Given back after the slot, so that the transaction that takes the right over finds a free slot.
    pub(super) _right: Right,
}

impl Lease {
    /// Call before the first byte of a transaction is sent: from here on the connection may not be reused.
    pub(crate) const fn mark_dirty(&mut self) {
        self.clean = false;
    }

    /// Call after the server has answered COMMIT or ROLLBACK.
    pub(crate) const fn mark_clean(&mut self) {
        self.clean = !self.retired;
    }

    /// Keeps the connection from being used again.
    pub(crate) const fn retire(&mut self) {
        self.retired = true;
    }

    /// Counts what the server has failed or refused to do on the connection.
    pub(crate) fn failed(&self, error: &DbError) {
        if let (Some(metrics), Some(why)) = (&self.shared.metrics, error.failure()) {
            metrics.failed(why);
        }
    }

    /// Counts a tenant's transaction on the connection; whether it shall have statements of its own there.
    pub(crate) fn count_use(&mut self, schema: SchemaName) -> bool {
        self.connection.as_mut().is_some_and(|connection| connection.statements.count_use(schema))
    }

    /// Names a statement on the connection.
    pub(crate) fn name<Q: QueryFragment<Pg> + QueryId>(
        &mut self,
        query: &mut Marked<Q>,
    ) -> DbResult<Option<StatementKey>> {
        let connection = self.connection.as_mut().ok_or(DbError::Aborted)?;
        Ok(query.name(&mut connection.statements.texts)?)
    }

    /// Whether the connection has run this very statement before.
    pub(crate) fn is_ready(&self, key: &StatementKey) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.statements.is_ready(key))
    }

    /// Notes that the connection has run a statement.
    pub(crate) fn ran(&mut self, key: StatementKey) {
        if let Some(connection) = &mut self.connection {
            connection.statements.ran(key);
        }
    }

    /// The connection.
    pub(crate) fn pg(&self) -> DbResult<&AsyncPgConnection> {
        self.connection.as_ref().map(|connection| &connection.opened.pg).ok_or(DbError::Aborted)
    }

    /// The connection, for the migration harness, which wants to own it.
    pub(crate) fn into_pg(mut self) -> DbResult<AsyncPgConnection> {
        if let Some(metrics) = &self.shared.metrics {
            metrics.in_use.dec();
        }
        self.connection.take().map(|connection| connection.opened.pg).ok_or(DbError::Aborted)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if let Some(metrics) = &self.shared.metrics {
            metrics.in_use.dec();
            if self.clean {
                metrics.idle.inc();
            } else {
                metrics.dropped(DropReason::Dirty);
            }
        }
        if self.clean {
            if let Some(slot) = self.shared.slots.get(self.index) {
                *slot.idle.lock() = Some(connection);
            }
            return;
        }
        let token = connection.opened.pg.cancel_token();
        drop(connection);
        let shared = Arc::clone(&self.shared);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { shared.connector.cancel(token).await });
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease(slot {}, clean: {})", self.index, self.clean)
    }
}
