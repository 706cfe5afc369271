//! What a node does beside answering: it keeps its view of revocations and signing keys fresh, tells the other nodes that it is
//! there, and knows how many they are; and it writes when API keys were last used.

use std::time::Duration;

use bulkhead_auth::{
    AuthError,
    revocation::{FRESH_FOR, KNOWN_WITHIN},
};
use bulkhead_db::{
    Authority, Db, DbError,
    platform::nodes::{self, HEARTBEAT, Node, NodeKind},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::http::state::Shared;

/// How often revocations and signing keys are read; the database is known to be there when they could be.
const REVOCATIONS_EVERY: Duration = Duration::from_millis(1_500);
/// How long a read of the revocations may take for the promise to be kept.
const READ_TAKES: Duration = Duration::from_millis(500);
/// How often it is written when API keys were last used.
const KEY_USES_EVERY: Duration = Duration::from_secs(5);
const _: () = {
    let (every, takes) = (REVOCATIONS_EVERY.as_millis(), READ_TAKES.as_millis());
    let (known, fresh) = (KNOWN_WITHIN.num_milliseconds(), FRESH_FOR.num_milliseconds());
    assert!(every + takes <= known.unsigned_abs() as u128, "a revocation is known later than is promised");
    // Otherwise a node would look up each credential by itself whenever a single read fails.
    assert!(2 * every + takes <= fresh.unsigned_abs() as u128, "one read that fails makes the view too old");
};

/// Reads what must be known before the first request is answered.
pub(crate) async fn prepare(shared: &Shared, db: &Db, node: &Node) -> Result<(), AuthError> {
    let now = shared.clock.now();
    shared.authenticator.load_keys(db, now).await?;
    shared.authenticator.read_revocations(db, now).await?;
    beat(shared, db, node).await?;
    shared.health.set_database(true);
    Ok(())
}

/// Starts the tasks; they end when the set is dropped.
pub(crate) fn spawn(shared: &Shared, db: &Db, node: &Node) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn_local(read_revocations(shared.clone(), db.clone()));
    tasks.spawn_local(say_alive(shared.clone(), db.clone(), node.clone()));
    tasks.spawn_local(watch_redis(shared.clone()));
    tasks.spawn_local(write_key_uses(shared.clone(), db.clone()));
    tasks
}

async fn read_revocations(shared: Shared, db: Db) {
    let mut ticks = ticks(REVOCATIONS_EVERY);
    loop {
        ticks.tick().await;
        let result = shared.authenticator.read_revocations(&db, shared.clock.now()).await;
        shared.health.set_database(result.is_ok());
        if let Err(error) = result {
            tracing::warn!(%error, "revocations and signing keys could not be read");
        }
    }
}

/// Writes when API keys were last used. No request waits for it.
async fn write_key_uses(shared: Shared, db: Db) {
    let mut ticks = ticks(KEY_USES_EVERY);
    loop {
        ticks.tick().await;
        shared.authenticator.write_key_uses(&db).await;
    }
}

async fn say_alive(shared: Shared, db: Db, node: Node) {
    let mut ticks = ticks(HEARTBEAT);
    loop {
        ticks.tick().await;
        if let Err(error) = beat(&shared, &db, &node).await {
            tracing::warn!(%error, "the other nodes could not be told that this one lives");
        }
    }
}

/// Says that this node lives, and learns with how many it shares the limits when each has to decide alone.
async fn beat(shared: &Shared, db: &Db, node: &Node) -> Result<(), DbError> {
    let beat = async |tx: &mut _| {
        nodes::heartbeat(tx, node).await?;
        nodes::count_live(tx, NodeKind::Api).await
    };
    let nodes: u32 = db.platform_write(Authority::machinery(), beat).await?;
    shared.limiter.set_nodes(nodes);
    Ok(())
}

async fn watch_redis(shared: Shared) {
    let limiter = shared.limiter.for_thread();
    let mut ticks = ticks(REVOCATIONS_EVERY);
    loop {
        ticks.tick().await;
        shared.health.set_redis(limiter.connect().await);
    }
}

/// Says that this node has ended, so that the others take over its share of the limits at once. Takes `limit` at most: with
/// PostgreSQL away it would take as long as a login, a wait for a connection and an answer may.
pub(crate) async fn leave(db: &Db, node: &Node, limit: Duration) {
    let leaving = db.platform_write(Authority::machinery(), async |tx| nodes::leave(tx, node.id).await);
    match timeout(limit, leaving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "the other nodes will notice in a while that this one has ended");
        }
        Err(_elapsed) => {
            tracing::debug!("PostgreSQL does not answer; the other nodes will notice in a while");
        }
    }
}

/// Ticks that skip what they have missed: after a pause nothing is gained by catching up.
fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
