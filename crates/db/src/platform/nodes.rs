//! The running processes, as they report themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::PlatformTx,
    },
    schema::platform::nodes,
};

/// How often a process says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Answers requests.
    Api,
    /// Runs jobs.
    Worker,
}

impl NodeKind {
    /// The word the database uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// A process.
#[derive(Clone, Debug)]
pub struct Node {
    /// New at every start.
    pub id: Uuid,
    /// What people call it: the host's or the task's name.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// When it was started.
    pub started_at: DateTime<Utc>,
}

/// A process as it was last heard of.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = nodes, check_for_backend(diesel::pg::Pg))]
pub struct NodeRow {
    /// New at every start.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// `api` or `worker`.
    pub kind: String,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    pub seen_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Says that this process lives.
pub async fn heartbeat(tx: &mut PlatformTx, node: &Node) -> DbResult<()> {
    let statement = diesel::sql_query(
        "INSERT INTO nodes (id, name, kind, started_at, seen_at) VALUES ($1, $2, $3, $4, clock_timestamp()) \
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
    )
    .bind::<SqlUuid, _>(node.id)
    .bind::<Text, _>(node.name.clone())
    .bind::<Text, _>(node.kind.as_str())
    .bind::<Timestamptz, _>(node.started_at);
    tx.tx.execute(statement).await?;
    Ok(())
}

/// Says that this process has ended.
pub async fn leave(tx: &mut PlatformTx, id: Uuid) -> DbResult<()> {
    tx.tx.execute(diesel::delete(nodes::table.find(id))).await?;
    Ok(())
}

/// How many processes of a kind were heard of in the last three heartbeats.
pub async fn count_live(tx: &mut PlatformTx, kind: NodeKind) -> DbResult<u32> {
    let query = diesel::sql_query(
        "SELECT count(*) AS n FROM nodes WHERE kind = $1 AND seen_at > clock_timestamp() - interval '15 seconds'",
    )
    .bind::<Text, _>(kind.as_str());
    let row: CountRow = tx.tx.one(query).await?;
    Ok(u32::try_from(row.n).unwrap_or(u32::MAX))
}

/// Processes in the order of their ids, which is the order in which they started.
pub async fn list(tx: &mut PlatformTx, page: PageRequest) -> DbResult<Page<NodeRow>> {
    let mut query =
        nodes::table.select(NodeRow::as_select()).order(nodes::id.asc()).limit(page.probe()).into_boxed();
    if let Some(after) = page.after {
        query = query.filter(nodes::id.gt(after));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}
