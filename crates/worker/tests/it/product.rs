//! The product's own jobs.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use bulkhead_db::{
    Authority, DbError, gate,
    platform::queue::{self, JobState},
    tenant,
};
use bulkhead_domain::{
    Clock as _, PlanName, SystemClock, TenantId,
    metering::{MeterName, Quantity},
};
use bulkhead_fixtures::{
    TestDb, TestRedis,
    auth::{Keyring, RootKey},
    mac,
};
use bulkhead_jobs::{
    ApplyRetention, DecideScaling, EnqueuePerTenant, FillSchemaPool, Job as _, ProvisionTenant, PurgeExpired,
    TendSigningKeys,
};
use bulkhead_servers::Scratch;
use bulkhead_worker::{AnchorPlace, Anchoring, Dependencies, WorkerOptions};
use tokio::task::LocalSet;

use crate::support::{Worker, core, core_database, dependencies, job, options, until};

const PATIENCE: Duration = Duration::from_secs(20);

fn start(db: &TestDb, redis: &TestRedis) -> Result<Worker> {
    Worker::start_with(db, &redis.url(), options(), core())
}

fn ended(kind: &str) -> String {
    format!("SELECT count(*) FROM platform.jobs WHERE kind = '{kind}' AND state IN ('succeeded', 'failed')")
}

/// Whether a recurring job has run and waits for its next time.
fn rests(kind: &str) -> String {
    let rests = "state = 'queued' AND result IS NOT NULL AND run_at > now()";
    format!("SELECT count(*) FROM platform.jobs WHERE kind = '{kind}' AND {rests}")
}

#[tokio::test]
async fn a_tenant_that_signed_up_is_built_and_one_that_did_not_is_refused() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let worker = start(&db, &redis)?;
        let tenant = db.sign_up("acme", PlanName::FREE).await?;
        let at = SystemClock.now();
        let stranger = TenantId::mint(at);
        let ask = async |tx: &mut _| {
            let built =
                queue::enqueue(tx, &ProvisionTenant { tenant: tenant.id }, Some(tenant.id), None, at).await?;
            let refused = queue::enqueue(tx, &ProvisionTenant { tenant: stranger }, None, None, at).await?;
            Ok::<_, DbError>((built, refused))
        };
        let (built, refused) = db.db()?.platform_write(Authority::machinery(), ask).await?;
        until(&db, &ended(ProvisionTenant::KIND), "2", PATIENCE).await?;
        let refused = job(&db, refused).await?;
        assert_eq!(
            (refused.state, refused.error.as_deref()),
            (JobState::Failed, Some("there is no such tenant"))
        );
        assert_eq!(job(&db, built).await?.result.unwrap()["outcome"], "built");
        assert_eq!(db.value("SELECT status FROM platform.tenants").await?, "active");
        let find = async |tx: &mut _| tenant::users::find(tx, tenant.owner_id).await;
        assert_eq!(db.db()?.read(tenant.proven(), find).await?.unwrap().email, tenant.owner_email);
        // The tenant sees the job that built it, under the same id.
        let find = async |tx: &mut _| gate::jobs::find(tx, built).await;
        assert_eq!(db.db()?.read(tenant.proven(), find).await?.unwrap().state, JobState::Succeeded);
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn usage_in_the_stream_is_billed_within_seconds() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let worker = start(&db, &redis)?;
        let mut connection = crate::support::server(&redis.url()).connect().await?;
        // Of this minute: an old one would be history to the house-keeping.
        let minute = SystemClock.now().timestamp() / 60;
        let entry = format!(
            r#"{{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[
            ["ten_00000000000000000000000004","list_users",2,{minute},7,900,0,10,[[4,7]]]]}}"#
        );
        let _id: String = redis::cmd("XADD")
            .arg("bh:usage")
            .arg("*")
            .arg("b")
            .arg(&entry)
            .arg("m")
            .arg(mac().sign(entry.as_bytes()).as_slice())
            .query_async(&mut connection)
            .await?;
        let sum = "SELECT coalesce(sum(requests), 0) FROM platform.request_minutes";
        until(&db, sum, "7", PATIENCE).await?;
        // And again and again: the job is one row that stays.
        let run_at = "SELECT count(*) FROM platform.jobs WHERE kind = 'aggregate_usage'";
        assert_eq!(db.value(run_at).await?, "1");
        let second = entry.replace("\"seq\":1", "\"seq\":2");
        let _id: String = redis::cmd("XADD")
            .arg("bh:usage")
            .arg("*")
            .arg("b")
            .arg(&second)
            .arg("m")
            .arg(mac().sign(second.as_bytes()).as_slice())
            .query_async(&mut connection)
            .await?;
        until(&db, sum, "14", PATIENCE).await?;
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn what_a_tenants_transaction_has_counted_is_billed_within_seconds() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let worker = start(&db, &redis)?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let count = async |tx: &mut _| {
            gate::usage::count(tx, MeterName::new("invoices_sent"), Quantity::whole(3).unwrap()).await
        };
        db.db()?.write::<_, DbError>(tenant.proven(), count).await?;
        let sum = "SELECT coalesce(sum(quantity), 0) FROM platform.usage_days WHERE meter = 'invoices_sent'";
        until(&db, sum, "3", PATIENCE).await?;
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// Three tenants: one overloaded, one idle at its minimum, one idle with capacity to spare.
#[tokio::test]
async fn scaling_is_decided_once_per_tenant_and_minute() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let [busy, idle, spare] = [
            db.sign_up("busy", PlanName::FREE).await?,
            db.sign_up("idle", PlanName::FREE).await?,
            db.sign_up("spare", PlanName::FREE).await?,
        ];
        db.sql(&format!(
            "UPDATE platform.tenants SET status = 'active'; \
             INSERT INTO platform.scaling_states VALUES ('{spare}', 3, now() - interval '1 hour'); \
             INSERT INTO platform.request_minutes \
             SELECT '{busy}', date_trunc('minute', now()) - minute * interval '1 minute', route, 2, 1000, 1, 1, 1, \
                    array_fill(0::bigint, ARRAY[5]) || 1000::bigint || array_fill(0::bigint, ARRAY[18]) \
             FROM generate_series(0, 7) minute, unnest(ARRAY['a', 'b', 'c']) route",
            spare = spare.id.uuid(),
            busy = busy.id.uuid()
        ))
        .await?;
        let worker = start(&db, &redis)?;
        until(&db, "SELECT count(*) FROM platform.scaling_decisions", "2", PATIENCE).await?;
        let decided = db
            .sql("SELECT t.slug, d.action, d.current_units, d.target_units, d.requests_per_minute, d.p95_ms, s.units \
                  FROM platform.scaling_decisions d JOIN platform.tenants t ON t.id = d.tenant_id \
                  JOIN platform.scaling_states s ON s.tenant_id = t.id ORDER BY 1")
            .await?;
        let decided: Vec<String> = decided
            .into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" "))
            .collect();
        // 3,000 requests a minute over units of 1,000; bucket 5 ends at 2.048 ms.
        assert_eq!(decided, ["busy scale_up 1 3 3000 2.048 3", "spare scale_down 3 2 0  2"]);
        assert_eq!(
            db.value(&format!(
                "SELECT count(*) FROM platform.scaling_states WHERE tenant_id = '{}'",
                idle.id.uuid()
            ))
            .await?,
            "0"
        );
        // Looking at the same minute again changes nothing, whatever the load is by now.
        let minute = db.value("SELECT min(minute) FROM platform.scaling_decisions").await?;
        db.sql(&format!("UPDATE platform.jobs SET run_at = now() WHERE kind = '{}'", DecideScaling::KIND))
            .await?;
        let waits = format!(
            "SELECT count(*) FROM platform.jobs WHERE kind = '{}' AND run_at > now()",
            DecideScaling::KIND
        );
        until(&db, &waits, "1", PATIENCE).await?;
        let again = format!("SELECT count(*) FROM platform.scaling_decisions WHERE minute = '{minute}'");
        assert_eq!(db.value(&again).await?, "2");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// Entries of the usage stream.
const SET_ASIDE: &str = "INSERT INTO platform.usage_batches_rejected (entry, payload, reason, authentic, at) VALUES \
     ('foreign, old', '', '', false, now() - interval '32 days'), ('foreign', '', '', false, now() - interval '30 days'), \
     ('ours', '', '', true, now() - interval '1 year');";

#[tokio::test]
async fn the_house_is_kept_on_the_platform_and_in_every_tenant() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let schema = tenant.schema();
        let usage = |age: &str| {
            format!(
                "INSERT INTO platform.request_minutes VALUES ('{}', date_trunc('minute', now() - interval '{age}'), 'r', 2, \
                 1, 1, 1, 1, '{{}}'); \
                 INSERT INTO platform.jobs (id, kind, payload, max_attempts, state, finished_at) \
                 VALUES (gen_random_uuid(), 'purge_expired', '{{}}', 1, 'succeeded', now() - interval '{age}');",
                tenant.id.uuid()
            )
        };
        db.sql(&format!(
            "{} {} {SET_ASIDE} INSERT INTO platform.scaling_decisions VALUES \
             (gen_random_uuid(), '{id}', now() - interval '31 days', 'hold', 1, 1, 0, NULL, ''), \
             (gen_random_uuid(), '{id}', now() - interval '29 days', 'hold', 1, 1, 0, NULL, ''); \
             INSERT INTO platform.usage_batches VALUES (gen_random_uuid(), 'n', '{{}}', now() - interval '36 days'), \
             (gen_random_uuid(), 'n', '{{}}', now()); \
             INSERT INTO platform.revocations (subject, subject_id, at) VALUES ('user', '{id}', now() - interval '3 hours'), \
             ('user', '{id}', now() - interval '1 hour'); \
             INSERT INTO {schema}.api_keys SELECT gen_random_uuid(), name, '', '', 'owner', '', now(), expires, revoked \
             FROM (VALUES ('works', NULL::timestamptz, NULL::timestamptz), ('just revoked', NULL, now() - interval '29 days'), \
             ('revoked', now() + interval '1 day', now() - interval '31 days'), \
             ('expired', now() - interval '31 days', NULL)) keys (name, expires, revoked); \
             INSERT INTO {schema}.idempotency_keys VALUES ('p', 'r', 'old', '', 200, NULL, NULL, now() - interval '25 hours'), \
             ('p', 'r', 'new', '', 200, NULL, NULL, now()); \
             INSERT INTO {schema}.sessions SELECT gen_random_uuid(), id, '', NULL, now(), now(), now() + age, NULL \
             FROM {schema}.users, (VALUES (interval '-1 hour'), (interval '1 hour')) ages (age)",
            usage("36 days"),
            usage("1 day"),
            id = tenant.id.uuid(),
        ))
        .await?;
        let worker = start(&db, &redis)?;
        let asked = format!(
            "SELECT count(*) FROM platform.jobs WHERE kind = '{}' AND tenant_id IS NOT NULL AND state = 'succeeded'",
            PurgeExpired::KIND
        );
        until(&db, &asked, "1", PATIENCE).await?;
        // Both recurring jobs have had their first run.
        until(&db, &rests(ApplyRetention::KIND), "1", PATIENCE).await?;
        let rows = format!(
            "SELECT concat_ws(' ', (SELECT count(*) FROM platform.request_minutes), \
             (SELECT count(*) FROM platform.jobs WHERE tenant_id IS NULL AND kind = 'purge_expired'), \
             (SELECT count(*) FROM platform.scaling_decisions), (SELECT count(*) FROM platform.usage_batches), \
             (SELECT string_agg(entry, ',' ORDER BY entry) FROM platform.usage_batches_rejected), (SELECT count(*) FROM platform.revocations), (SELECT string_agg(key, ',') FROM {schema}.idempotency_keys), \
             (SELECT count(*) FROM {schema}.sessions), (SELECT string_agg(name, ',' ORDER BY name) FROM {schema}.api_keys))"
        );
        assert_eq!(db.value(&rows).await?, "1 1 1 1 foreign,ours 1 new 1 just revoked,works");
        // The next run of the same day does not ask again.
        db.sql(&format!("UPDATE platform.jobs SET run_at = now() WHERE kind = '{}'", EnqueuePerTenant::KIND))
            .await?;
        until(&db, &rests(EnqueuePerTenant::KIND), "1", PATIENCE).await?;
        assert_eq!(db.value(&asked).await?, "1");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// What waits to be taken: how many have which migrations, and how many schemas there are at all.
const POOL: &str = "SELECT concat_ws(' ', \
     (SELECT string_agg(n || ' of ' || applied, ', ' ORDER BY applied) \
      FROM (SELECT applied, count(*) AS n FROM platform.schema_pool WHERE taken_at IS NULL GROUP BY applied) v), \
     'in', (SELECT count(*) FROM pg_namespace WHERE nspname ~ '^t_'))";

#[tokio::test]
async fn the_pool_of_schemas_is_filled_renewed_and_emptied_as_it_is_set() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let newest = db.value("SELECT wanted FROM platform.fleet_target").await?;
    let with = |schema_pool| WorkerOptions { schema_pool, ..options() };
    let start = |schema_pool| Worker::start_with(&db, &redis.url(), with(schema_pool), core());
    let now = format!("UPDATE platform.jobs SET run_at = now() WHERE kind = '{}'", FillSchemaPool::KIND);
    let test = async {
        let worker = start(3)?;
        until(&db, POOL, &format!("3 of {newest} in 3"), PATIENCE).await?;

        // A tenant moves in at once.
        let ready = db.value("SELECT min(role_name) FROM platform.schema_pool").await?;
        let tenant = db.sign_up("acme", PlanName::FREE).await?;
        assert_eq!(tenant.schema(), ready);
        let ask = async |tx: &mut _| {
            let job = ProvisionTenant { tenant: tenant.id };
            queue::enqueue(tx, &job, Some(tenant.id), None, SystemClock.now()).await
        };
        db.db()?.platform_write::<_, DbError>(Authority::machinery(), ask).await?;
        until(&db, "SELECT status FROM platform.tenants", "active", PATIENCE).await?;
        let find = async |tx: &mut _| tenant::users::find(tx, tenant.owner_id).await;
        assert_eq!(db.db()?.read(tenant.proven(), find).await?.unwrap().email, tenant.owner_email);
        assert_eq!(db.value(POOL).await?, format!("2 of {newest} in 3"), "more than half is left");

        // What lacks something is replaced, and counts as gone.
        let behind = "UPDATE platform.schema_pool SET applied = '{}' \
            WHERE tenant_id = (SELECT min(tenant_id::text)::uuid FROM platform.schema_pool) RETURNING role_name";
        let behind = db.value(behind).await?;
        db.sql(&now).await?;
        until(&db, POOL, &format!("3 of {newest} in 4"), PATIENCE).await?;
        assert_eq!(db.value(&format!("SELECT to_regrole('{behind}')")).await?, "");
        worker.stop().await?;

        for (wanted, left) in [(1, format!("1 of {newest} in 2")), (0, "in 1".to_owned())] {
            let worker = start(wanted)?;
            db.sql(&now).await?;
            until(&db, POOL, &left, PATIENCE).await?;
            worker.stop().await?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// The door that tenants ask for jobs through.
#[tokio::test]
async fn a_tenant_asks_for_its_own_jobs_and_sees_no_others() -> Result<()> {
    let db = core_database().await?;
    let (a, b) =
        (db.create_tenant("aaa", PlanName::FREE).await?, db.create_tenant("bbb", PlanName::FREE).await?);
    let at = SystemClock.now();
    let ask = async |tx: &mut _| gate::jobs::enqueue(tx, &PurgeExpired {}, Some("k"), at).await;
    let own = db.db()?.write::<_, DbError>(a.proven(), ask).await?;
    assert_eq!(db.db()?.write::<_, DbError>(a.proven(), ask).await?, own);
    let others = db.db()?.write::<_, DbError>(b.proven(), ask).await?;
    assert_ne!(others, own);
    let page = bulkhead_db::PageRequest { after: None, limit: 10 };
    let list = async |tx: &mut _| gate::jobs::list(tx, page).await;
    let seen = db.db()?.read::<_, DbError>(a.proven(), list).await?.rows;
    assert_eq!(seen.iter().map(|row| row.id).collect::<Vec<_>>(), [own]);
    let find = async |tx: &mut _| gate::jobs::find(tx, others).await;
    assert!(db.db()?.read::<_, DbError>(a.proven(), find).await?.is_none());
    Ok(())
}

/// A key is published ahead of its time, those whose tokens have all expired go, and where a person has deleted all keys one
/// signs again. Two workers do no more than one.
#[tokio::test]
async fn signing_keys_take_the_steps_that_time_decides() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let (one, two) = (start(&db, &redis)?, start(&db, &redis)?);
        let states = "SELECT string_agg(state, ' ' ORDER BY state) FROM platform.signing_keys";
        until(&db, states, "active", PATIENCE).await?;
        let again =
            format!("UPDATE platform.jobs SET run_at = now() WHERE kind = '{}'", TendSigningKeys::KIND);
        let rests = rests(TendSigningKeys::KIND);
        until(&db, &rests, "1", PATIENCE).await?;
        db.sql(&again).await?;
        until(&db, states, "active standby", PATIENCE).await?;
        // One that was retired by hand, without its time, and one whose time is over.
        let retired = |kid: &str, at: &str| {
            format!(
                "INSERT INTO platform.signing_keys (kid, state, public_jwk, sealed_private, created_at, retired_at) \
                 VALUES ('{kid}', 'retired', '{{}}', '', now(), {at})"
            )
        };
        until(&db, &rests, "1", PATIENCE).await?;
        db.sql(&format!("{}; {}", retired("hand", "NULL"), retired("over", "now() - interval '2 hours'")))
            .await?;
        db.sql(&again).await?;
        let left =
            "SELECT string_agg(kid, ' ' ORDER BY kid) FROM platform.signing_keys WHERE state = 'retired'";
        until(&db, left, "hand", PATIENCE).await?;
        assert_eq!(
            db.value("SELECT retired_at IS NULL FROM platform.signing_keys WHERE kid = 'hand'").await?,
            "f"
        );
        // What is there already is enough.
        until(&db, &rests, "1", PATIENCE).await?;
        assert_eq!(db.value(states).await?, "active retired standby");
        one.stop().await?;
        two.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// It is asked several times a day, and does it once: where the file of the day was not written, it is written later.
#[tokio::test]
async fn the_heads_of_audit_logs_are_written_elsewhere_once_a_day() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let place = Scratch::new()?;
    let directory = place.path().join("anchors");
    let test = async {
        let keyring = Arc::new(Keyring::new(&RootKey::from([1; 32]))?);
        let anchoring = Anchoring { keyring, place: AnchorPlace::Directory(directory.clone()) };
        let dependencies = Dependencies { anchoring: Some(anchoring), ..dependencies(&db, &redis.url())? };
        let worker = Worker::run(dependencies, options(), core());
        let told = "SELECT coalesce((SELECT coalesce(result ->> 'anchored', error) FROM platform.jobs \
             WHERE kind = 'anchor_audit' AND run_at > now()), '')";
        let again = "UPDATE platform.jobs SET run_at = now(), result = NULL WHERE kind = 'anchor_audit'";
        // The place is away.
        until(&db, told, "every attempt failed", PATIENCE).await?;
        std::fs::create_dir(&directory)?;
        for (later, anchored) in
            [("0 days", "true"), ("0 days", "false"), ("1 day", "true"), ("0 days", "false")]
        {
            db.sql(&format!("UPDATE platform.audit_anchors SET at = at - interval '{later}'; {again}"))
                .await?;
            until(&db, told, anchored, PATIENCE).await?;
        }
        assert_eq!(std::fs::read_dir(&directory)?.count(), 2);
        worker.stop().await
    };
    LocalSet::new().run_until(test).await
}
