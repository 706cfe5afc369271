//! The worker's side of the stream.

use anyhow::Result;
use bulkhead_domain::{Clock as _, SystemClock};
use bulkhead_testkit::{TestDb, TestRedis};
use bulkhead_usage::{DrainOptions, Drained, STREAM, drain, length};
use chrono::TimeDelta;

use crate::support::{drain_all, metrics, server};

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_set_aside_and_holds_nothing_up() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = server(&redis).connect().await?;
    let good = r#"{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[
        ["ten_00000000000000000000000004","list_users",2,29500000,1,900,0,10,[[4,1]]]]}"#;
    for (field, value) in
        [("b", "not json"), ("b", good), ("x", good), ("b", &good.replace("\"v\":1", "\"v\":9"))]
    {
        let _id: String = redis::cmd("XADD")
            .arg(STREAM)
            .arg("*")
            .arg(field)
            .arg(value)
            .query_async(&mut connection)
            .await?;
    }
    let metrics = metrics();
    let options = DrainOptions::default();
    let drained = drain(&mut connection, &db.db()?, &metrics, options, SystemClock.now()).await?;
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

/// The set of applied batches is deleted in the end; what is older than that must not be applied again.
#[tokio::test]
async fn an_entry_of_another_season_is_set_aside() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = server(&redis).connect().await?;
    let good = r#"{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[]}"#;
    let _id: String =
        redis::cmd("XADD").arg(STREAM).arg("*").arg("b").arg(good).query_async(&mut connection).await?;
    let later = SystemClock.now() + TimeDelta::days(31);
    let drained = drain(&mut connection, &db.db()?, &metrics(), DrainOptions::default(), later).await?;
    assert_eq!((drained.rejected, drained.fresh), (1, 0));
    Ok(())
}

#[tokio::test]
async fn entries_read_twice_count_once() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = server(&redis).connect().await?;
    let good = r#"{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[
        ["ten_00000000000000000000000004","list_users",2,29500000,1,900,0,10,[[4,1]]]]}"#;
    for round in 0..3 {
        for _ in 0..2 {
            let _id: String = redis::cmd("XADD")
                .arg(STREAM)
                .arg("*")
                .arg("b")
                .arg(good)
                .query_async(&mut connection)
                .await?;
        }
        assert_eq!(drain_all(&db, &redis).await?.fresh, usize::from(round == 0));
    }
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1");
    Ok(())
}

#[tokio::test]
async fn pages_follow_each_other_and_nothing_is_left_or_read_twice() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut connection = server(&redis).connect().await?;
    let mut pipe = redis::pipe();
    for seq in 1..=1_203 {
        let batch = format!(
            r#"{{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":{seq},"node":"n","keys":[
            ["ten_00000000000000000000000004","list_users",2,{},1,900,0,10,[[4,1]]]]}}"#,
            29_500_000 + seq % 500
        );
        pipe.cmd("XADD").arg(STREAM).arg("*").arg("b").arg(batch).ignore();
    }
    let () = pipe.query_async(&mut connection).await?;
    let options = DrainOptions { entries: 700, keys: 400, ..DrainOptions::default() };
    let drained = drain(&mut connection, &db.db()?, &metrics(), options, SystemClock.now()).await?;
    assert_eq!(drained, Drained { fresh: 1_203, ..Drained::default() });
    assert_eq!(length(&mut connection).await?, 0);
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1203");
    Ok(())
}
