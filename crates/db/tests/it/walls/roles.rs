//! What each role reaches when it is asked directly, outside of the program.

use anyhow::Result;
use bulkhead_db::fleet::provision::schema_pool::build_ahead;
use bulkhead_domain::{Clock as _, SchemaName, SystemClock, TenantId};
use bulkhead_fixtures::{Login, TestDb};
use tokio_postgres::Client;

use super::marked_tenants;
use crate::probe;

/// The server's words for why it refuses.
async fn refusal(client: &Client, sql: &str) -> String {
    match client.batch_execute(sql).await {
        Ok(()) => "allowed".to_owned(),
        Err(error) => {
            error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
        }
    }
}

/// Relations of a schema.
async fn relations(db: &TestDb, schema: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT oid::regclass FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind IN ('r', 'v')"
    );
    Ok(db.sql(&sql).await?.into_iter().flatten().flatten().collect())
}

#[tokio::test]
async fn a_tenant_role_reaches_neither_the_platform_nor_another_tenant() -> Result<()> {
    let db = probe::database().await?;
    let [a, b] = &marked_tenants(&db, 2).await?[..] else { anyhow::bail!("two tenants") };
    let client = db.session(Login::Tenant).await?;
    client.batch_execute(&format!("SET ROLE {0}; SET search_path = {0}", a.schema())).await?;
    client.batch_execute("SELECT FROM users; SELECT FROM gate.jobs").await?;

    let foreign = [relations(&db, "platform").await?, relations(&db, &b.schema()).await?].concat();
    assert!(foreign.len() > 20, "{foreign:?}");
    for relation in foreign {
        for sql in [
            format!("SELECT FROM {relation}"),
            format!("DELETE FROM {relation}"),
            format!("TRUNCATE {relation}"),
            format!("INSERT INTO {relation} DEFAULT VALUES"),
            format!("DROP TABLE {relation}"),
        ] {
            let why = refusal(&client, &sql).await;
            assert!(
                why.starts_with("permission denied for schema") || why.starts_with("must be owner"),
                "{sql}: {why}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_was_built_ahead_reaches_its_own_empty_schema_and_nothing_else() -> Result<()> {
    let db = probe::database().await?;
    let [tenant] = &marked_tenants(&db, 1).await?[..] else { anyhow::bail!("a tenant") };
    let (owner, at) = (db.owner()?, SystemClock.now());
    let [id, neighbour] = [TenantId::mint(at), TenantId::mint(at)];
    for id in [id, neighbour] {
        owner.write(async |tx| build_ahead(tx, id, at).await).await?;
    }
    let [own, neighbour] = [id, neighbour].map(|id| SchemaName::of(id).to_string());
    let client = db.session(Login::Tenant).await?;
    // Roles and schemas cannot be bound; these names are made from ids.
    client.batch_execute(&format!("SET ROLE {own}; SET search_path = {own}")).await?;
    let rows =
        client.query_one("SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM gate.jobs)", &[]);
    assert_eq!(rows.await?.get::<_, i64>(0), 0);

    let mut foreign = relations(&db, "platform").await?;
    assert!(foreign.contains(&"platform.schema_pool".to_owned()), "{foreign:?}");
    foreign.extend(relations(&db, &neighbour).await?);
    foreign.extend(relations(&db, &tenant.schema()).await?);
    for relation in foreign {
        for sql in [format!("SELECT FROM {relation}"), format!("DELETE FROM {relation}")] {
            let why = refusal(&client, &sql).await;
            assert!(why.starts_with("permission denied for schema"), "{sql}: {why}");
        }
    }
    // The schema has no tenant yet, so the functions of `gate` refuse its role.
    for call in ["gate.tenant()", "gate.revoke('user', gen_random_uuid())"] {
        assert_eq!(refusal(&client, &format!("SELECT {call}")).await, "no tenant role is in force", "{call}");
    }
    // Nor does a tenant reach what waits for others.
    client.batch_execute(&format!("SET ROLE {0}; SET search_path = {0}", tenant.schema())).await?;
    for relation in relations(&db, &own).await? {
        let why = refusal(&client, &format!("SELECT FROM {relation}")).await;
        assert!(why.starts_with("permission denied for schema"), "{relation}: {why}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_role_has_no_way_to_leave_things_lying_about() -> Result<()> {
    let db = probe::database().await?;
    let [a, b] = &marked_tenants(&db, 2).await?[..] else { anyhow::bail!("two tenants") };
    let client = db.session(Login::Tenant).await?;
    client.batch_execute(&format!("SET ROLE {0}; SET search_path = {0}", a.schema())).await?;
    for sql in [
        "CREATE TABLE mine (x int)",
        "CREATE TABLE public.shared (x int)",
        "CREATE TEMP TABLE scratch (x int)",
        "CREATE SCHEMA another",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT lo_create(0)",
        "COPY users TO PROGRAM 'cat'",
        "CREATE ROLE friend",
        "ALTER TABLE users ADD COLUMN x int",
        "TRUNCATE users",
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "SELECT pg_read_file('/etc/hostname')",
        "SET SESSION AUTHORIZATION postgres",
    ] {
        let why = refusal(&client, sql).await;
        assert!(
            why.contains("permission denied") || why.contains("must be") || why.contains("no schema"),
            "{sql}: {why}"
        );
    }
    // What injected SQL could do with the login role is bounded by that role's memberships: tenants, and nothing else.
    client.batch_execute("RESET ROLE").await?;
    for role in
        ["bulkhead_owner", "bulkhead_platform_rw", "bulkhead_provisioner", "bulkhead_platform", "postgres"]
    {
        let why = refusal(&client, &format!("SET ROLE {role}")).await;
        assert!(why.starts_with("permission denied to set role"), "{role}: {why}");
    }
    let platform = db.session(Login::Platform).await?;
    for role in [&a.schema(), &b.schema(), "bulkhead_owner", "bulkhead_tenant", "bulkhead_tenants"] {
        let why = refusal(&platform, &format!("SET ROLE {role}")).await;
        assert!(why.starts_with("permission denied to set role"), "{role}: {why}");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_makes_or_drops_a_role_that_is_not_a_tenants() -> Result<()> {
    let db = TestDb::new().await?;
    let provisioner = db.session(Login::Provisioner).await?;
    for sql in
        ["CREATE ROLE friend", "SET ROLE bulkhead_creator_00", "ALTER ROLE bulkhead_provisioner CREATEROLE"]
    {
        let why = refusal(&provisioner, sql).await;
        assert!(why.contains("permission denied"), "{sql}: {why}");
    }
    let stranger = format!("t_{}", "0".repeat(26));
    for login in [Login::Tenant, Login::Platform, Login::Provisioner] {
        let client = db.session(login).await?;
        let why = refusal(&client, &format!("SELECT tenant_roles.make('{stranger}')")).await;
        assert_eq!(why, "permission denied for schema tenant_roles", "{login:?}");
    }
    provisioner.batch_execute("SET ROLE bulkhead_owner").await?;
    for name in [
        "friend",
        "postgres",
        "pg_monitor",
        "bulkhead_tenants",
        "",
        &format!("{stranger}\n"),
        "t_\"; DROP ROLE x",
    ] {
        for function in [
            "make('{}')",
            "remove('{}')",
            "bulkhead_creator_00('{}', true)",
            "bulkhead_creator_63('{}', false)",
        ] {
            let sql = format!("SELECT tenant_roles.{}", function.replace("{}", name));
            let why = refusal(&provisioner, &sql).await;
            assert!(why.starts_with("not the name of a tenant's role"), "{sql}: {why}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_forgotten_switch_is_denied_everywhere() -> Result<()> {
    let db = probe::database().await?;
    let [a, ..] = &marked_tenants(&db, 1).await?[..] else { anyhow::bail!("a tenant") };
    for login in [Login::Tenant, Login::Platform, Login::Provisioner] {
        let client = db.session(login).await?;
        assert_eq!(
            refusal(&client, "SELECT FROM users").await,
            "relation \"users\" does not exist",
            "{login:?}"
        );
        assert_eq!(
            refusal(&client, "SELECT FROM tenants").await,
            "relation \"tenants\" does not exist",
            "{login:?}"
        );
        let schemas = ["platform", "gate", "public", &a.schema()];
        for relation in schemas {
            for relation in relations(&db, relation).await? {
                let why = refusal(&client, &format!("SELECT FROM {relation}")).await;
                assert!(why.starts_with("permission denied for schema"), "{login:?} {relation}: {why}");
            }
        }
        for call in ["gate.tenant()", "gate.revoke('user', gen_random_uuid())"] {
            let why = refusal(&client, &format!("SELECT {call}")).await;
            assert!(why.starts_with("permission denied for schema gate"), "{login:?} {call}: {why}");
        }
        // A role without its path finds nothing either, and a path without its role is refused.
        if login == Login::Tenant {
            client.batch_execute(&format!("SET ROLE {}", a.schema())).await?;
            assert_eq!(refusal(&client, "SELECT FROM users").await, "relation \"users\" does not exist");
            client.batch_execute(&format!("RESET ROLE; SET search_path = {}", a.schema())).await?;
            assert!(refusal(&client, "SELECT FROM users").await.contains("does not exist"));
        }
    }
    Ok(())
}
