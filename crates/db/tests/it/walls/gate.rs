//! The only door out of a tenant's transaction.

use anyhow::{Context as _, Result};
use bulkhead_db::{
    DbError,
    gate::{jobs, profile},
};
use bulkhead_domain::{Clock as _, SystemClock};
use bulkhead_fixtures::{Login, TestDb, TestTenant};
use bulkhead_jobs::PurgeExpired;
use tokio_postgres::Client;

use super::marked_tenants;

async fn tenant_session(db: &TestDb, tenant: &TestTenant) -> Result<Client> {
    let client = db.session(Login::Tenant).await?;
    client.batch_execute(&format!("SET ROLE {0}; SET search_path = {0}", tenant.schema())).await?;
    Ok(client)
}

async fn refusal(client: &Client, sql: &str) -> Result<String> {
    let error = client.batch_execute(sql).await.err().with_context(|| format!("{sql} was allowed"))?;
    Ok(error.as_db_error().context("refused by the server")?.message().to_owned())
}

#[tokio::test]
async fn a_tenant_enqueues_for_itself_and_only_what_it_may() -> Result<()> {
    let db = crate::probe::database().await?;
    let [a, b] = &marked_tenants(&db, 2).await?[..] else { anyhow::bail!("two tenants") };
    let pool = db.db()?;
    let job = pool
        .write::<_, DbError>(a.proven(), async |tx| {
            jobs::enqueue(tx, &PurgeExpired {}, Some("k"), SystemClock.now()).await
        })
        .await?;
    let owner = format!("SELECT tenant_id FROM platform.jobs WHERE id = '{}'", job.uuid());
    assert_eq!(db.value(&owner).await?, a.id.uuid().to_string());
    // The same key again is the same job; another tenant's same key is another.
    let again = async |tenant: &TestTenant| {
        pool.write::<_, DbError>(tenant.proven(), async |tx| {
            jobs::enqueue(tx, &PurgeExpired {}, Some("k"), SystemClock.now()).await
        })
        .await
    };
    assert_eq!(again(a).await?, job);
    assert_ne!(again(b).await?, job);
    assert!(pool.read::<_, DbError>(b.proven(), async |tx| jobs::find(tx, job).await).await?.is_none());

    let client = tenant_session(&db, a).await?;
    for kind in [
        "provision_tenant",
        "keep_house",
        "aggregate_usage",
        "decide_scaling",
        "fill_schema_pool",
        "no_such_kind",
    ] {
        let call = format!("SELECT gate.enqueue_job(gen_random_uuid(), '{kind}', '{{}}', 3, NULL, NULL)");
        assert_eq!(refusal(&client, &call).await?, format!("tenants may not enqueue {kind}"));
    }
    let big = "SELECT gate.enqueue_job(gen_random_uuid(), 'purge_expired', to_jsonb(repeat('x', 65536)), 3, NULL, NULL)";
    assert_eq!(refusal(&client, big).await?, "job payload is over 64 KiB");
    for subject in ["tenant", "operator"] {
        let call = format!("SELECT gate.revoke('{subject}', gen_random_uuid())");
        assert_eq!(refusal(&client, &call).await?, format!("tenants may not revoke a {subject}"));
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_announces_its_own_change_and_one_announcement_stands_for_all_before_it() -> Result<()> {
    let db = crate::probe::database().await?;
    let [a, b] = &marked_tenants(&db, 2).await?[..] else { anyhow::bail!("two tenants") };
    let (client, other) = (tenant_session(&db, a).await?, tenant_session(&db, b).await?);
    // The id is the test's own, and a batch binds nothing.
    client.batch_execute(&format!("SELECT gate.revoke('user', '{}')", a.owner_id.uuid())).await?;
    other.batch_execute("SELECT gate.announce_change()").await?;
    let kept = |tenant: &TestTenant| {
        format!(
            "SELECT string_agg(subject || (subject_id = tenant_id), ' ' ORDER BY subject) FROM platform.revocations \
             WHERE tenant_id = '{}'",
            tenant.id.uuid()
        )
    };
    let newest = "SELECT max(xid) FROM platform.revocations";
    for _ in 0..3 {
        let before: u64 = db.value(newest).await?.parse()?;
        client.batch_execute("SELECT gate.announce_change()").await?;
        assert_eq!(db.value(&kept(a)).await?, "tenanttrue userfalse");
        assert!(
            db.value(newest).await?.parse::<u64>()? > before,
            "a node that has read the one before sees it"
        );
    }
    assert_eq!(db.value(&kept(b)).await?, "tenanttrue", "another tenant's announcement is gone");
    Ok(())
}

#[tokio::test]
async fn a_tenant_finishes_only_its_own_leased_job() -> Result<()> {
    let db = crate::probe::database().await?;
    let [a, b] = &marked_tenants(&db, 2).await?[..] else { anyhow::bail!("two tenants") };
    let token = "00000000-0000-4000-8000-000000000001";
    let job = db
        .value(&format!(
            "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts, state, lease_token, leased_until)
             VALUES (gen_random_uuid(), 'purge_expired', '{}', '{{}}', 3, 'running', '{token}', now() + interval '1 minute')
             RETURNING id",
            a.id.uuid()
        ))
        .await?;
    let finish = format!("SELECT gate.finish_job('{job}', '{token}', NULL)");
    let wrong = format!("SELECT gate.finish_job('{job}', gen_random_uuid(), NULL)");
    let refused = format!("job {job} is not leased under this token");
    assert_eq!(refusal(&tenant_session(&db, b).await?, &finish).await?, refused);
    let owner = tenant_session(&db, a).await?;
    assert_eq!(refusal(&owner, &wrong).await?, refused);
    owner.batch_execute(&finish).await?;
    assert_eq!(refusal(&owner, &finish).await?, refused, "it is finished once");
    assert_eq!(db.value(&format!("SELECT state FROM platform.jobs WHERE id = '{job}'")).await?, "succeeded");
    Ok(())
}

#[tokio::test]
async fn the_gate_raises_when_no_tenant_role_is_in_force() -> Result<()> {
    let db = crate::probe::database().await?;
    marked_tenants(&db, 1).await?;
    let admin = db.session(Login::Admin).await?;
    // Even for those who may call it, the gate is open to a tenant's role only.
    for role in ["none", "bulkhead_owner", "bulkhead_tenants", "postgres"] {
        admin.batch_execute(&format!("SET ROLE {role}")).await?;
        for call in [
            "gate.tenant()",
            "gate.enqueue_job(gen_random_uuid(), 'purge_expired', '{}', 3, NULL, NULL)",
            "gate.finish_job(gen_random_uuid(), gen_random_uuid(), NULL)",
            "gate.revoke('user', gen_random_uuid())",
            "gate.announce_change()",
            "gate.count_usage('invoices_sent', 1)",
            "gate.take_mail(1)",
        ] {
            assert_eq!(
                refusal(&admin, &format!("SELECT {call}")).await?,
                "no tenant role is in force",
                "{role} {call}"
            );
        }
        for view in
            ["jobs", "usage_hours", "usage_days", "request_minutes", "scaling_decisions", "tenant_profile"]
        {
            let seen = admin.query_one(&format!("SELECT count(*) FROM gate.{view}"), &[]).await?;
            assert_eq!(seen.get::<_, i64>(0), 0, "{role} {view}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_view_shows_a_tenant_its_own_rows_and_no_others() -> Result<()> {
    let db = crate::probe::database().await?;
    let tenants = marked_tenants(&db, 3).await?;
    db.sql(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts)
             SELECT gen_random_uuid(), 'purge_expired', id, '{}'::jsonb, 3 FROM platform.tenants
             UNION ALL SELECT gen_random_uuid(), 'keep_house', NULL, '{}', 1;
         INSERT INTO platform.usage_hours SELECT id, slug, now(), 1 FROM platform.tenants;
         INSERT INTO platform.usage_days SELECT id, slug, now(), 1 FROM platform.tenants;
         INSERT INTO platform.request_minutes SELECT id, now(), slug, 2, 1, 1, 1, 1, '{1}' FROM platform.tenants;
         INSERT INTO platform.scaling_decisions
             SELECT gen_random_uuid(), id, now(), 'hold', 1, 1, 0, NULL, slug FROM platform.tenants",
    )
    .await?;
    for tenant in &tenants {
        let client = tenant_session(&db, tenant).await?;
        for (view, mark) in [
            ("usage_hours", "meter"),
            ("usage_days", "meter"),
            ("request_minutes", "route"),
            ("scaling_decisions", "reason"),
            ("tenant_profile", "slug"),
        ] {
            let rows = client.query(&format!("SELECT {mark} FROM gate.{view}"), &[]).await?;
            let marks: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(marks, [tenant.slug.as_str()], "{view}");
        }
        let job = client.query_one("SELECT id::text FROM gate.jobs", &[]).await?;
        let owner = format!("SELECT tenant_id FROM platform.jobs WHERE id = '{}'", job.get::<_, String>(0));
        assert_eq!(db.value(&owner).await?, tenant.id.uuid().to_string());
        let me = db.db()?.read::<_, DbError>(tenant.proven(), async |tx| profile::find(tx).await).await?;
        assert_eq!(me.map(|profile| profile.id), Some(tenant.id));
    }
    Ok(())
}
