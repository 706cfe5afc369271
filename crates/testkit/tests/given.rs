//! Servers that are somebody's: nothing of theirs is touched, nothing of ours stays.

use anyhow::Result;
use bulkhead_domain::Plan;
use bulkhead_servers::{Binaries, Postgres, PostgresOptions, Scratch};
use bulkhead_testkit::{Cluster, Login, TestDb};

#[tokio::test]
async fn an_empty_server_is_used_and_left_empty_and_any_other_is_refused() -> Result<()> {
    let scratch = Scratch::new()?;
    let postgres =
        Postgres::start(&Binaries::find()?, PostgresOptions::new(scratch.path().join("postgres")))?;
    let url = postgres.superuser_url("");
    let url = url.split('?').next().unwrap_or(&url);

    let cluster = Cluster::given(url).await?;
    TestDb::on(cluster.clone()).await?.create_tenant("acme", Plan::Free).await?;
    // Not told to clear: the next one drops what this one has left.
    let cluster = { Cluster::given(url).await? };
    assert!(cluster.server().is_none());
    cluster.clear().await?;
    let admin = cluster.session(Login::Admin, "postgres").await?;
    let left = admin
        .query("SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_' UNION ALL SELECT datname::text FROM pg_database", &[])
        .await?;
    let mut left: Vec<String> = left.iter().map(|row| row.get(0)).collect();
    left.sort();
    assert_eq!(left, ["postgres", "postgres", "template0", "template1"]);

    for (foreign, told) in [
        ("CREATE ROLE bulkhead_tenant", "the role bulkhead_tenant"),
        ("CREATE DATABASE theirs", "the database theirs"),
        ("CREATE TABLE theirs ()", "the table theirs"),
    ] {
        admin.batch_execute(foreign).await?;
        let refusal = Cluster::given(url).await.map(drop).unwrap_err().to_string();
        assert!(refusal.contains(told), "{refusal}");
        // Refusing has dropped nothing, clearing neither.
        cluster.clear().await?;
        assert!(Cluster::given(url).await.is_err());
        let what = foreign.trim_start_matches("CREATE ").trim_end_matches(" ()");
        admin.batch_execute(&format!("DROP {what}")).await?;
    }
    Ok(())
}
