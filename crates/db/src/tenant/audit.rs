//! Who did what in the tenant. Rows are only ever added: the tenant's role cannot change or delete them.

use bulkhead_domain::id;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::tenant::audit_log,
};

/// One entry of an audit log.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The actor: the subject of the credential, `system`, or the command that was run.
    pub actor: &'a str,
    /// Who acts through the actor: the operator who impersonates a person. `None` when the actor acts.
    pub act: Option<&'a str>,
    /// What was done: the operation's id in the API, or the job's kind.
    pub action: &'static str,
    /// The id of what it was done to.
    pub target: &'a str,
    /// The id of the request, or of the job.
    pub request_id: &'a str,
    /// The client's address, as its outermost trusted proxy has seen it; `None` for what no client has asked for.
    pub address: Option<&'a str>,
    /// What changed. Never a secret.
    pub changes: Value,
}

impl Entry<'_> {
    /// A new id that sorts by the entry's time.
    pub(crate) fn mint_id(&self) -> Uuid {
        id::mint(self.at)
    }
}

/// Adds an entry.
pub async fn record(tx: &mut TenantTx, entry: &Entry<'_>) -> DbResult<()> {
    let row = (
        audit_log::id.eq(entry.mint_id()),
        audit_log::at.eq(entry.at),
        audit_log::actor.eq(entry.actor),
        audit_log::action.eq(entry.action),
        audit_log::target.eq(entry.target),
        audit_log::request_id.eq(entry.request_id),
        audit_log::changes.eq(&entry.changes),
        audit_log::act.eq(entry.act),
        audit_log::address.eq(entry.address),
    );
    tx.tx.execute(diesel::insert_into(audit_log::table).values(row)).await?;
    Ok(())
}
