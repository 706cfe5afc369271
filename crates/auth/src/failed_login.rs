//! What the audit log says of a log-in with a wrong password.
//!
//! Owns that the answer does not wait for it: the entry is written by a task of its own, because an answer that came later
//! for accounts that exist would tell which do. How many there can be of an account is bounded by how often it may be tried
//! (`attempts.rs`). An entry that cannot be written is told in the process's log. Refuses to write what was sent: neither the
//! password nor the address of an account that does not exist is kept anywhere.

use bulkhead_db::{Authority, Db, DbError, platform, tenant};
use bulkhead_domain::{Evidence, OperatorId, Proven, TenantId, UserId};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::request::Request;

/// Whom the audit log names where nobody has proven who they are.
pub(crate) const NOBODY: &str = "anonymous";

/// What it is called there.
pub(crate) const ACTION: &str = "login_failed";

/// The account whose password it was not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Missed {
    User(TenantId, UserId),
    Operator(OperatorId),
}

/// Has it written down, without waiting for that.
pub(crate) fn note(db: &Db, missed: Missed, request: &Request<'_>, at: DateTime<Utc>) {
    let (db, id, address) = (db.clone(), request.id.to_owned(), request.address.to_owned());
    tokio::spawn(async move {
        let request = Request { id: &id, address: &address };
        if let Err(error) = write(&db, missed, &request, at).await {
            tracing::warn!(%error, account = ?missed, "a failed log-in is not in the audit log");
        }
    });
}

async fn write(db: &Db, missed: Missed, request: &Request<'_>, at: DateTime<Utc>) -> Result<(), DbError> {
    let target = match missed {
        Missed::User(_, id) => id.to_string(),
        Missed::Operator(id) => id.to_string(),
    };
    let entry = request.entry(at, NOBODY, ACTION, &target, json!({}));
    match missed {
        Missed::User(tenant, _) => {
            let tenant = Proven::on(Evidence::FailedLogin, tenant);
            db.write(tenant, async |tx| tenant::audit::record(tx, &entry).await).await
        }
        Missed::Operator(_) => {
            let record = async |tx: &mut _| platform::audit::record(tx, &entry).await;
            db.platform_write(Authority::credentials(), record).await
        }
    }
}
