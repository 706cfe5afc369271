//! Who can write to Redis cannot bill anybody, nor keep anybody from being billed.

use anyhow::Result;
use bulkhead_testkit::{TestDb, TestRedis, mac, mac_of};
use bulkhead_usage::{DrainOptions, Drained, STREAM, drain};
use chrono::{DateTime, TimeDelta, Utc};
use redis::aio::MultiplexedConnection;

use crate::{
    node::{Node, entries, options, until},
    support::{add, drain_all, metrics, now, server},
};

const REQUESTS: &str = "SELECT coalesce(sum(requests), 0) FROM platform.request_minutes";

fn batch(seq: u32, requests: u32) -> String {
    format!(
        r#"{{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":{seq},"node":"n","keys":[
        ["ten_00000000000000000000000004","list_users",2,29500000,{requests},900,0,10,[[4,1]]]]}}"#
    )
}

/// When the requests of that batch came.
fn requested_at() -> DateTime<Utc> {
    DateTime::from_timestamp(29_500_000 * 60, 0).unwrap()
}

/// Writes an entry with this tag.
async fn add_with(connection: &mut MultiplexedConnection, batch: &str, tag: &[u8]) -> Result<()> {
    let mut add = redis::cmd("XADD");
    add.arg(STREAM).arg("*").arg("b").arg(batch).arg("m").arg(tag);
    let _id: String = add.query_async(connection).await?;
    Ok(())
}

#[tokio::test]
async fn an_entry_without_our_tag_bills_nobody_and_claims_no_number() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = server(&redis).connect().await?;
    let genuine = batch(1, 7);
    let tag = mac().sign(genuine.as_bytes());
    let _id: String =
        redis::cmd("XADD").arg(STREAM).arg("*").arg("b").arg(&genuine).query_async(&mut connection).await?;
    add_with(&mut connection, &genuine, b"").await?;
    add_with(&mut connection, &genuine, &tag[1..]).await?;
    add_with(&mut connection, &genuine, &mac_of(2).sign(genuine.as_bytes())).await?;
    // A genuine tag on what it was not made for: another number, another amount.
    add_with(&mut connection, &batch(2, 7), &tag).await?;
    add_with(&mut connection, &batch(1, 7_000_000), &tag).await?;
    let metrics = metrics();
    let (options, now) = (DrainOptions::default(), requested_at());
    let drained = drain(&mut connection, &db.db()?, &metrics, &*mac(), options, now).await?;
    assert_eq!(drained, Drained { rejected: 6, ..Drained::default() });
    assert_eq!(metrics.usage.rejected.get(), 6);
    assert_eq!(db.value(REQUESTS).await?, "0");
    assert_eq!(db.value("SELECT count(*) FROM platform.usage_batches").await?, "0");
    let kept = "SELECT count(*) FROM platform.usage_batches_rejected WHERE reason LIKE '%tag%'";
    assert_eq!(db.value(kept).await?, "6");
    // The number that was to be claimed is still free for the batch that it belongs to.
    add_with(&mut connection, &genuine, &tag).await?;
    let drained = drain(&mut connection, &db.db()?, &metrics, &*mac(), options, now).await?;
    assert_eq!(drained, Drained { fresh: 1, ..Drained::default() });
    assert_eq!(db.value(REQUESTS).await?, "7");
    Ok(())
}

/// Entries that were copied and are written again, at once and after the set of applied batches is deleted.
#[tokio::test]
async fn a_genuine_entry_written_again_counts_once_and_never_after_its_season() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = server(&redis).connect().await?;
    for _ in 0..3 {
        add(&mut connection, &batch(1, 7)).await?;
    }
    let at = async |connection: &mut MultiplexedConnection, days| -> Result<Drained> {
        let now = requested_at() + TimeDelta::days(days);
        Ok(drain(connection, &db.db()?, &metrics(), &*mac(), DrainOptions::default(), now).await?)
    };
    assert_eq!(at(&mut connection, 30).await?, Drained { fresh: 1, duplicate: 2, ..Drained::default() });
    // What housekeeping does 35 days after the last batch of a recorder.
    db.sql("DELETE FROM platform.usage_batches").await?;
    add(&mut connection, &batch(1, 7)).await?;
    assert_eq!(at(&mut connection, 35).await?, Drained { rejected: 1, ..Drained::default() });
    assert_eq!(db.value(REQUESTS).await?, "7");
    Ok(())
}

/// While releases with different keys, or without any, run side by side, a worker sets aside what a live node writes. The
/// node finds that it is neither in the stream nor applied, and applies it itself.
#[tokio::test]
async fn what_a_worker_does_not_believe_its_node_applies_itself() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut node = Node::start(&db, &redis, options())?;
    node.clients(5);
    node.answers(50).await?;
    node.no_clients().await;
    let load = node.load();
    let recorded = load.recorded.requests().to_string();
    let (worker, metrics, another) = (db.db()?, metrics(), mac_of(2));
    until("all is billed although the worker believes none of it", async || {
        let mut connection = server(&redis).connect().await?;
        let options = DrainOptions::default();
        let drained = drain(&mut connection, &worker, &metrics, &*another, options, now()).await?;
        assert_eq!(drained.fresh, 0);
        Ok(db.value(REQUESTS).await? == recorded)
    })
    .await?;
    assert!(metrics.usage.rejected.get() > 0);
    let load_at_the_end = node.end().await;
    assert_eq!(load_at_the_end.unsafe_answers, 0);
    // What had been sent once more is known to be applied.
    assert_eq!(drain_all(&db, &redis).await?.fresh, 0);
    assert_eq!(entries(&redis).await?, 0);
    load.recorded.check(&db).await
}
