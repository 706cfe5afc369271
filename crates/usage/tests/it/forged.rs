//! An attacker who can write to Redis can bill no tenant, and can keep no tenant from being billed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bulkhead_fixtures::{TestDb, TestRedis, mac, mac_of};
use bulkhead_usage::{DrainOptions, Drained, STREAM, drain};
use chrono::{DateTime, TimeDelta, Utc};
use redis::aio::MultiplexedConnection;

use crate::{
    node::{Node, entries, options, until},
    support::{add, busy_server, drain_all, metrics, now},
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
    let mut connection = busy_server(&redis).connect().await?;
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
    let mut connection = busy_server(&redis).connect().await?;
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
        let mut connection = busy_server(&redis).connect().await?;
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

/// One number of what Redis tells about itself.
async fn told(connection: &mut MultiplexedConnection, what: &str) -> Result<usize> {
    let info: String = redis::cmd("INFO").arg("stats").query_async(connection).await?;
    let line = info.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    Ok(line.context(what.to_owned())?.parse()?)
}

#[tokio::test]
async fn who_writes_to_redis_cannot_fill_the_disk_of_postgresql() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = busy_server(&redis).connect().await?;
    let foreign = "f".repeat(3_000);
    let flood = async |connection: &mut MultiplexedConnection, entries: usize| {
        let mut pipe = redis::pipe();
        for _ in 0..entries {
            pipe.cmd("XADD").arg(STREAM).arg("*").arg("b").arg(&foreign).arg("m").arg("wrong").ignore();
        }
        pipe.query_async::<()>(connection).await
    };
    let drained = async |connection: &mut MultiplexedConnection| {
        drain(connection, &db.db()?, &metrics(), &*mac(), DrainOptions::default(), requested_at())
            .await
            .map_err(anyhow::Error::from)
    };
    let unreadable = "u".repeat(3_000);
    flood(&mut connection, 1_200).await?;
    add(&mut connection, &unreadable).await?;
    assert_eq!(drained(&mut connection).await?, Drained { rejected: 1_201, ..Drained::default() });
    let of_others = "SELECT DISTINCT concat_ws(' ', count(*) OVER (), octet_length(payload), bytes, encode(sha256, 'hex')) \
                     FROM platform.usage_batches_rejected WHERE NOT authentic";
    let ours = "SELECT concat_ws(' ', count(*), sum(octet_length(payload)), sum(bytes)) \
                FROM platform.usage_batches_rejected WHERE authentic AND sha256 = sha256(payload)";
    let hash = db.value(&format!("SELECT encode(sha256('{foreign}'), 'hex')")).await?;
    let expected = format!("1000 1024 3000 {hash}");
    assert_eq!(
        (db.value(of_others).await?, db.value(ours).await?),
        (expected.clone(), "1 3000 3000".to_owned())
    );
    // Enough foreign entries are kept. One with our tag is kept all the same, once however often it is copied.
    flood(&mut connection, 300).await?;
    for _ in 0..20 {
        add(&mut connection, &unreadable).await?;
    }
    add(&mut connection, &"v".repeat(3_000)).await?;
    assert_eq!(drained(&mut connection).await?, Drained { rejected: 321, ..Drained::default() });
    assert_eq!((db.value(of_others).await?, db.value(ours).await?), (expected, "2 6000 6000".to_owned()));
    assert_eq!(entries(&redis).await?, 0);
    Ok(())
}

#[tokio::test]
async fn who_writes_to_redis_cannot_fill_the_memory_of_the_worker() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = busy_server(&redis).connect().await?;
    // Longer than any batch.
    let huge = "h".repeat(8 << 20);
    for _ in 0..4 {
        add(&mut connection, &huge).await?;
    }
    let (mac, db_of_worker) = (mac(), db.db()?);
    let before = told(&mut connection, "total_net_output_bytes").await?;
    let (metrics, options) = (metrics(), DrainOptions::default());
    let drained = drain(&mut connection, &db_of_worker, &metrics, &*mac, options, requested_at()).await?;
    assert_eq!(drained, Drained { rejected: 4, ..Drained::default() });
    let read = told(&mut connection, "total_net_output_bytes").await? - before;
    assert!(read < 100_000, "{read} bytes were read");
    let kept = "SELECT DISTINCT concat_ws(' ', authentic, octet_length(payload), bytes, sha256, reason) FROM platform.usage_batches_rejected";
    assert_eq!(
        db.value(kept).await?,
        "f 1024 8388608 it is not ours: the entry has 8388608 bytes, more than 524288"
    );

    // As long as a batch can be: so many at a time as the run may hold.
    let large = "l".repeat(500_000);
    for _ in 0..40 {
        add(&mut connection, &large).await?;
    }
    let options = DrainOptions { bytes: 1 << 20, budget: Duration::ZERO, ..DrainOptions::default() };
    let drained = drain(&mut connection, &db_of_worker, &metrics, &*mac, options, requested_at()).await?;
    assert_eq!(drained, Drained { rejected: 3, left: 37, ..Drained::default() });
    Ok(())
}
