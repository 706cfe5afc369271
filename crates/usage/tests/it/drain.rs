//! The worker's side of the stream.

use anyhow::Result;
use bulkhead_fixtures::{TestDb, TestRedis, mac};
use bulkhead_usage::{DrainOptions, Drained, STREAM, drain, length};
use chrono::{DateTime, Utc};

use crate::support::{add, busy_server, metrics};

/// A time soon after the requests in the entries below.
fn at_the_time() -> DateTime<Utc> {
    DateTime::from_timestamp(29_500_000 * 60, 0).unwrap() + chrono::TimeDelta::days(1)
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_set_aside_and_holds_nothing_up() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = busy_server(&redis).connect().await?;
    let good = r#"{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[
        ["ten_00000000000000000000000004","list_users",2,29500000,1,900,0,10,[[4,1]]]]}"#;
    for batch in ["not json", good, "", &good.replace("\"v\":1", "\"v\":9")] {
        add(&mut connection, batch).await?;
    }
    let metrics = metrics();
    let options = DrainOptions::default();
    let drained = drain(&mut connection, &db.db()?, &metrics, &*mac(), options, at_the_time()).await?;
    assert_eq!(drained, Drained { fresh: 1, duplicate: 0, rejected: 3, left: 0 });
    assert_eq!(metrics.usage.rejected.get(), 3);
    assert_eq!(length(&mut connection).await?, 0);
    let kept = db.sql("SELECT convert_from(payload, 'UTF8'), reason FROM platform.usage_batches_rejected ORDER BY at, entry").await?;
    let kept: Vec<(&str, &str)> =
        kept.iter().map(|row| (row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
    assert_eq!(kept[0].0, "not json");
    assert!(kept[2].1.contains("version 9"), "{kept:?}");
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1");
    Ok(())
}

#[tokio::test]
async fn entries_read_twice_count_once() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = busy_server(&redis).connect().await?;
    let good = r#"{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[
        ["ten_00000000000000000000000004","list_users",2,29500000,1,900,0,10,[[4,1]]]]}"#;
    for round in 0..3 {
        for _ in 0..2 {
            add(&mut connection, good).await?;
        }
        assert_eq!(again(&mut connection, &db).await?.fresh, usize::from(round == 0));
    }
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1");
    Ok(())
}

/// A newer node counts a meter that this program has not declared, alone and beside requests. What is too old to be told from
/// what was applied is set aside whichever of the two it counts.
#[tokio::test]
async fn a_meter_that_nobody_here_has_declared_is_applied() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = busy_server(&redis).connect().await?;
    let beside = r#"{"v":2,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[
        ["ten_00000000000000000000000004","list_users",2,29500000,1,900,0,10,[[4,1]]]],
        "meters":[["ten_00000000000000000000000004","invoices_sent",29500000,1500]]}"#;
    let alone = r#"{"v":2,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":2,"node":"n","keys":[],
        "meters":[["ten_00000000000000000000000004","invoices_sent",29500001,2000]]}"#;
    let old = alone.replace("29500001", "29400001").replace("\"seq\":2", "\"seq\":3");
    for batch in [beside, alone, &old, alone] {
        add(&mut connection, batch).await?;
    }
    let drained = again(&mut connection, &db).await?;
    assert_eq!(drained, Drained { fresh: 2, duplicate: 1, rejected: 1, left: 0 });
    for table in ["usage_hours", "usage_days"] {
        let sum = format!("SELECT sum(quantity) FROM platform.{table} WHERE meter = 'invoices_sent'");
        assert_eq!(db.value(&sum).await?, "3.5", "{table}");
    }
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1");
    let reason = db.value("SELECT reason FROM platform.usage_batches_rejected").await?;
    assert!(reason.starts_with("it is too old"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn pages_follow_each_other_and_nothing_is_left_or_read_twice() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = busy_server(&redis).connect().await?;
    let mut pipe = redis::pipe();
    for seq in 1..=1_203 {
        let batch = format!(
            r#"{{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":{seq},"node":"n","keys":[
            ["ten_00000000000000000000000004","list_users",2,{},1,900,0,10,[[4,1]]]]}}"#,
            29_500_000 + seq % 500
        );
        let tag = mac().sign(batch.as_bytes());
        pipe.cmd("XADD").arg(STREAM).arg("*").arg("b").arg(batch).arg("m").arg(&tag).ignore();
    }
    let () = pipe.query_async(&mut connection).await?;
    let options = DrainOptions { entries: 700, keys: 400, ..DrainOptions::default() };
    let drained = drain(&mut connection, &db.db()?, &metrics(), &*mac(), options, at_the_time()).await?;
    assert_eq!(drained, Drained { fresh: 1_203, ..Drained::default() });
    assert_eq!(length(&mut connection).await?, 0);
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1203");
    Ok(())
}

async fn again(connection: &mut redis::aio::MultiplexedConnection, db: &TestDb) -> Result<Drained> {
    let options = DrainOptions::default();
    Ok(drain(connection, &db.db()?, &metrics(), &*mac(), options, at_the_time()).await?)
}
