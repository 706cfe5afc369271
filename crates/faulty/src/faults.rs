//! What does not work: a handler that panics, a query that is too slow, a job that this version cannot read, a statement that no
//! tenant's transaction runs, and settings that the application does not have.

use bulkhead::prelude::*;
use diesel::sql_types::{Integer, Text as SqlText};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{FaultySettings, READ_NOTES, WRITE_NOTES};

operations! {
    panic => Access::Tenant(READ_NOTES), [];
    sleep => Access::Tenant(READ_NOTES), [];
    leave => Access::Tenant(READ_NOTES), [];
    miss_settings => Access::Tenant(READ_NOTES), [];
    enqueue_newer => Access::Tenant(WRITE_NOTES), [];
}

/// Panic
#[utoipa::path(get, path = "/v1/faults/panic", responses((status = 204, description = "Never.")))]
async fn panic(call: TenantCall) -> Result<Answer> {
    // As an index out of bounds would, deep in some code.
    let subject = call.subject().to_owned();
    std::panic::panic_any(format!("the handler of {subject} has a fault"))
}

#[derive(diesel::QueryableByName)]
struct Slept {
    #[diesel(sql_type = SqlText)]
    #[expect(dead_code, reason = "read to be waited for")]
    slept: String,
}

/// Run a slow query
#[utoipa::path(get, path = "/v1/faults/sleep", responses((status = 204, description = "Slept.")))]
async fn sleep(call: TenantCall) -> Result<Answer> {
    let seconds = i32::from(call.settings::<FaultySettings>()?.slow_secs);
    let query = diesel::sql_query("SELECT pg_sleep($1)::text AS slept").bind::<Integer, _>(seconds);
    let _slept: Option<Slept> = call.read(async |tx| tx.first(query).await).await?;
    Ok(Answer::no_content())
}

/// Leave the walls
#[utoipa::path(get, path = "/v1/faults/leave", responses((status = 204, description = "Never.")))]
async fn leave(call: TenantCall) -> Result<Answer> {
    call.read(async |tx| tx.execute(diesel::sql_query("RESET ROLE")).await).await?;
    Ok(Answer::no_content())
}

settings! {
    /// What the extension forgot to register.
    #[derive(Debug)]
    struct Forgotten of "faulty" {
        /// A number from 1 to 2.
        number: u8 = 1 in 1..=2;
    }
}

/// Ask for settings that are not registered
#[utoipa::path(get, path = "/v1/faults/settings", responses((status = 204, description = "Never.")))]
async fn miss_settings(call: TenantCall) -> Result<Answer> {
    let _number = call.settings::<Forgotten>()?.number;
    Ok(Answer::no_content())
}

/// A stamp as a later version of this program enqueues it.
#[derive(Serialize, Deserialize)]
struct NewerStamp {
    notes: Vec<Value>,
}

impl Job for NewerStamp {
    const KIND: &'static str = "faulty.stamp";
}

impl TenantJob for NewerStamp {}

/// Enqueue a job of a later version
#[utoipa::path(
    post, path = "/v1/faults/newer", params(IdempotencyKeyHeader),
    responses((status = 202, description = "Follow the operation.", body = OperationResponse)),
)]
async fn enqueue_newer(call: TenantCall) -> Result<Answer> {
    call.write(async |tx| {
        let job = call.enqueue(tx, &NewerStamp { notes: Vec::new() }).await?;
        Ok(Written::unchanged(Answer::accepted(job)?))
    })
    .await
}
