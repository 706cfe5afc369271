//! Whether `inspect` sees what it is there to see: each wall is taken down in turn.

use anyhow::Result;
use bulkhead_db::fleet::{
    inspect::{Finding, Level, inspect},
    migrate::Sets,
    provision::schema_pool::build_ahead,
};
use bulkhead_domain::{Clock as _, PlanName, SchemaName, SystemClock, TenantId};
use bulkhead_fixtures::{Cluster, Login, TestDb};

async fn findings(db: &TestDb) -> Result<Vec<Finding>> {
    Ok(inspect(&db.owner()?, &Sets::core()).await?)
}

/// The checks that are not well, but for the server's version, which is what is installed here.
async fn unwell(db: &TestDb) -> Result<Vec<&'static str>> {
    let found = findings(db).await?.into_iter().filter(|f| f.level != Level::Ok && f.check != "server");
    Ok(found.map(|finding| finding.check).collect())
}

/// Builds a schema ahead; its name.
async fn ahead(db: &TestDb) -> Result<String> {
    let at = SystemClock.now();
    let id = TenantId::mint(at);
    db.owner()?.write(async |tx| build_ahead(tx, id, at).await).await?;
    Ok(SchemaName::of(id).to_string())
}

#[tokio::test]
async fn a_healthy_database_has_nothing_to_report() -> Result<()> {
    let db = TestDb::new().await?;
    let nobody: Vec<&str> = Vec::new();
    assert_eq!(unwell(&db).await?, nobody);
    db.create_tenant("acme", PlanName::FREE).await?;
    db.sign_up("waiting", PlanName::FREE).await?;
    let taken = ahead(&db).await?;
    assert_eq!(db.sign_up("lucky", PlanName::FREE).await?.schema(), taken);
    ahead(&db).await?;
    db.sql(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts) \
         SELECT gen_random_uuid(), 'provision_tenant', id, '{}', 10 FROM platform.tenants WHERE status = 'provisioning'",
    )
    .await?;
    let unwell: Vec<_> =
        findings(&db).await?.into_iter().filter(|f| f.level != Level::Ok && f.check != "server").collect();
    assert_eq!(unwell, []);
    Ok(())
}

/// A server of its own, because roles are shared by all its databases, with two tenants and a schema that was built ahead.
struct Site {
    db: TestDb,
    a: String,
    b: String,
    pooled: String,
}

impl Site {
    async fn new() -> Result<Self> {
        let db = TestDb::on(Cluster::start(|_| {}, None).await?).await?;
        let a = db.create_tenant("first", PlanName::FREE).await?.schema();
        let b = db.create_tenant("second", PlanName::FREE).await?.schema();
        let pooled = ahead(&db).await?;
        Ok(Self { db, a, b, pooled })
    }

    /// The role that has made the first tenant's.
    async fn creator(&self) -> Result<String> {
        let grantor = "SELECT grantor::regrole FROM pg_auth_members WHERE member = 'bulkhead_tenant'::regrole AND roleid =";
        self.db.value(&format!("{grantor} '{}'::regrole", self.a)).await
    }
}

/// Does each harm, asks whether its check notices, and repairs it.
async fn noticed(db: &TestDb, cases: &[(&str, String, String)]) -> Result<()> {
    let nobody: Vec<&str> = Vec::new();
    assert_eq!(unwell(db).await?, nobody);
    let admin = db.session(Login::Admin).await?;
    for (check, harm, repair) in cases {
        admin.batch_execute(harm).await?;
        let seen = unwell(db).await?;
        assert!(seen.contains(check), "{harm}: only {seen:?} noticed");
        admin.batch_execute(repair).await?;
        assert_eq!(unwell(db).await?, nobody, "after {repair}");
    }
    Ok(())
}

#[tokio::test]
async fn every_wall_that_is_taken_down_is_noticed() -> Result<()> {
    let Site { db, a, pooled, .. } = Site::new().await?;
    let name = db.name().to_owned();
    let stranger = format!("t_{}", "0".repeat(26));
    let all_applied =
        "UPDATE platform.tenant_schema_versions SET applied = wanted FROM platform.fleet_target";
    let cases = [
        ("default search_path", "ALTER ROLE bulkhead_tenant SET search_path = public".into(), "ALTER ROLE bulkhead_tenant SET search_path = ''".into()),
        ("default search_path", format!("ALTER ROLE bulkhead_tenant IN DATABASE {name} SET search_path = {a}"), format!("ALTER ROLE bulkhead_tenant IN DATABASE {name} RESET search_path")),
        ("public", "GRANT CREATE ON SCHEMA public TO PUBLIC".into(), "REVOKE CREATE ON SCHEMA public FROM PUBLIC".into()),
        ("public", format!("GRANT TEMP ON DATABASE {name} TO PUBLIC"), format!("REVOKE TEMP ON DATABASE {name} FROM PUBLIC")),
        ("large objects", "GRANT EXECUTE ON FUNCTION lo_creat(int) TO PUBLIC".into(), "REVOKE EXECUTE ON FUNCTION lo_creat(int) FROM PUBLIC".into()),
        ("ownership", format!("ALTER TABLE {a}.users OWNER TO postgres"), format!("ALTER TABLE {a}.users OWNER TO bulkhead_owner")),
        ("tenant login", "GRANT SELECT ON platform.plans TO bulkhead_tenants".into(), "REVOKE SELECT ON platform.plans FROM bulkhead_tenants".into()),
        ("ownership", format!("ALTER TABLE {pooled}.users OWNER TO postgres"), format!("ALTER TABLE {pooled}.users OWNER TO bulkhead_owner")),
        ("tenant login", format!("GRANT USAGE ON SCHEMA {a} TO bulkhead_tenant"), format!("REVOKE USAGE ON SCHEMA {a} FROM bulkhead_tenant")),
        ("tenant login", "GRANT USAGE ON SCHEMA tenant_roles TO bulkhead_tenants".into(), "REVOKE USAGE ON SCHEMA tenant_roles FROM bulkhead_tenants".into()),
        ("tenants", format!("ALTER SCHEMA {a} RENAME TO elsewhere"), format!("ALTER SCHEMA elsewhere RENAME TO {a}")),
        ("schema pool", format!("ALTER SCHEMA {pooled} RENAME TO elsewhere"), format!("ALTER SCHEMA elsewhere RENAME TO {pooled}")),
        ("schema pool", format!("ALTER ROLE {pooled} RENAME TO somebody"), format!("ALTER ROLE somebody RENAME TO {pooled}")),
        ("schema pool", "UPDATE platform.schema_pool SET taken_at = now()".into(), "UPDATE platform.schema_pool SET taken_at = NULL".into()),
        ("schema pool", "INSERT INTO platform.schema_pool SELECT id, role_name, '', now(), now() FROM platform.tenants".into(), "DELETE FROM platform.schema_pool WHERE version = ''".into()),
        ("orphan schemas", format!("CREATE SCHEMA {stranger} AUTHORIZATION bulkhead_owner"), format!("DROP SCHEMA {stranger}")),
        ("orphan roles", format!("CREATE ROLE {stranger}"), format!("DROP ROLE {stranger}")),
        ("gate", "ALTER FUNCTION gate.tenant() SECURITY INVOKER".into(), "ALTER FUNCTION gate.tenant() SECURITY DEFINER".into()),
        ("gate", "ALTER FUNCTION gate.tenant() SET search_path = public".into(), "ALTER FUNCTION gate.tenant() SET search_path = pg_catalog, pg_temp".into()),
        ("gate", "GRANT EXECUTE ON FUNCTION gate.tenant() TO PUBLIC".into(), "REVOKE EXECUTE ON FUNCTION gate.tenant() FROM PUBLIC".into()),
        ("gate", "ALTER VIEW gate.jobs SET (security_barrier = false)".into(), "ALTER VIEW gate.jobs SET (security_barrier = true)".into()),
        ("tenant migrations", "UPDATE platform.tenant_schema_versions SET applied = applied - '{[1,2)}'".into(), all_applied.into()),
        ("failed jobs", "INSERT INTO platform.jobs (id, kind, payload, state, max_attempts, finished_at, error) VALUES (gen_random_uuid(), 'keep_house', '{}', 'failed', 1, now(), 'x')".into(), "UPDATE platform.jobs SET finished_at = now() - interval '8 days' WHERE state = 'failed'".into()),
        ("counted usage", "INSERT INTO platform.usage_counts (tenant_id, meter, at, quantity) VALUES (gen_random_uuid(), 'm', now() - interval '16 minutes', 1)".into(), "DELETE FROM platform.usage_counts".into()),
        ("rejected usage", "INSERT INTO platform.usage_batches_rejected (entry, payload, reason) VALUES ('1-1', '', 'x')".into(), "UPDATE platform.usage_batches_rejected SET at = now() - interval '32 days'".into()),
        ("transaction ids", format!("UPDATE pg_class SET relfrozenxid = ((txid_current() + (1::bigint << 32) - 1100000000) % (1::bigint << 32))::text::xid WHERE oid = '{a}.users'::regclass"), format!("UPDATE pg_class SET relfrozenxid = txid_current()::text::xid WHERE oid = '{a}.users'::regclass")),
        ("failed migrations", "UPDATE platform.tenant_schema_versions SET error = 'x', failed_at = now()".into(), "UPDATE platform.tenant_schema_versions SET error = NULL, failed_at = NULL".into()),
    ];
    noticed(&db, &cases).await
}

/// Tenants that no job builds, or that should be gone.
#[tokio::test]
async fn every_tenant_that_waits_for_nobody_is_noticed() -> Result<()> {
    let Site { db, a, .. } = Site::new().await?;
    let id = db.value(&format!("SELECT id FROM platform.tenants WHERE role_name = '{a}'")).await?;
    let waiting = db.sign_up("waiting", PlanName::FREE).await?.id.uuid();
    let job = format!(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts) VALUES (gen_random_uuid(), 'provision_tenant', '{waiting}', '{{}}', 10)"
    );
    db.sql(&job).await?;
    let old = format!(
        "UPDATE platform.jobs SET finished_at = now() - interval '8 days' WHERE state = 'failed'; {job}"
    );
    let deleted = format!(
        "UPDATE platform.tenants SET status = 'deleted', deleted_at = now(), purge_after = now() - interval '2 hours', restore_to = 'active' WHERE id = '{id}'"
    );
    let back = format!(
        "DELETE FROM platform.tenant_purges; DELETE FROM platform.jobs WHERE kind = 'purge_tenant'; UPDATE platform.tenants SET status = 'active', deleted_at = NULL, purge_after = NULL, restore_to = NULL WHERE id = '{id}'"
    );
    let cases = [
        ("sign-ups", "DELETE FROM platform.jobs".to_owned(), job.clone()),
        (
            "sign-ups",
            "UPDATE platform.jobs SET state = 'failed', error = 'x', finished_at = now()".into(),
            old,
        ),
        (
            "sign-ups",
            format!(
                "UPDATE platform.tenants SET created_at = now() - interval '1 hour' WHERE id = '{waiting}'"
            ),
            format!("UPDATE platform.tenants SET created_at = now() WHERE id = '{waiting}'"),
        ),
        ("purges", deleted.clone(), back.clone()),
        (
            "purges",
            format!(
                "{deleted}; INSERT INTO platform.tenant_purges (tenant_id, slug) VALUES ('{id}', 'first'); UPDATE platform.tenants SET purge_after = now() WHERE purge_after IS NOT NULL"
            ),
            back.clone(),
        ),
        (
            "purged tenants",
            format!(
                "{deleted}; INSERT INTO platform.tenant_purges (tenant_id, slug, finished_at) VALUES ('{id}', 'first', now())"
            ),
            back,
        ),
    ];
    noticed(&db, &cases).await
}

/// A ledger of migrations that cannot be right, tenants that lack some, and sets that no program brings.
#[tokio::test]
async fn every_fault_of_the_ledger_is_noticed() -> Result<()> {
    let Site { db, .. } = Site::new().await?;
    let all_wanted = "UPDATE platform.fleet_target SET wanted = (SELECT range_agg(int4range(id, id + 1)) FROM platform.fleet_migrations)";
    let all_applied =
        "UPDATE platform.tenant_schema_versions SET applied = wanted FROM platform.fleet_target";
    let another = |set: &str| {
        format!(
            "INSERT INTO platform.fleet_migrations VALUES (99, '{set}', 9, 29990101000000, 'x', 1, ''); {all_wanted}"
        )
    };
    let forget = format!("DELETE FROM platform.fleet_migrations WHERE id = 99; {all_wanted}");
    let forget = forget.as_str();
    let cases = [
        (
            "migrations",
            "CREATE TABLE platform.kept AS TABLE platform.fleet_target; DELETE FROM platform.fleet_target"
                .into(),
            "INSERT INTO platform.fleet_target TABLE platform.kept; DROP TABLE platform.kept".into(),
        ),
        (
            "migrations",
            "UPDATE platform.fleet_target SET wanted = wanted - '{[1,2)}'".into(),
            all_wanted.into(),
        ),
        (
            "migrations",
            "UPDATE platform.fleet_migrations SET up = up || ' '".into(),
            "UPDATE platform.fleet_migrations SET up = substr(up, 1, length(up) - 1)".into(),
        ),
        ("tenant migrations", another("core"), forget.into()),
        ("removed sets", format!("{}; {all_applied}", another("notes")), format!("{forget}; {all_applied}")),
    ];
    noticed(&db, &cases).await
}

/// Where the platform keeps something under a tenant's id that stays when the tenant is purged: usage, for the bill, the
/// receipt, and who did what when.
const STAYS: [&str; 6] =
    ["request_minutes", "tenant_audit_log", "tenant_purges", "usage_counts", "usage_days", "usage_hours"];

/// The tables of the platform that have a tenant's id.
const WITH_A_TENANT: &str = "SELECT string_agg(table_name, ' ' ORDER BY table_name COLLATE \"C\") FROM information_schema.columns \
    JOIN information_schema.tables USING (table_schema, table_name) \
    WHERE table_schema = 'platform' AND column_name = 'tenant_id' AND table_type = 'BASE TABLE'";

/// A purged tenant, and each table that could still have something of it.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn whatever_is_left_of_a_purged_tenant_is_noticed() -> Result<()> {
    let Site { db, .. } = Site::new().await?;
    let gone = db.create_tenant("gone", PlanName::FREE).await?;
    let (id, name) = (gone.id.uuid(), gone.schema());
    db.sql(&format!(
        "DROP SCHEMA {name} CASCADE; SELECT tenant_roles.remove('{name}');
         DELETE FROM platform.tenant_schema_versions WHERE tenant_id = '{id}';
         UPDATE platform.tenants SET status = 'deleted', deleted_at = now(), purge_after = now() WHERE id = '{id}';
         INSERT INTO platform.tenant_purges (tenant_id, slug, step, finished_at) VALUES ('{id}', 'gone', 'seal', now())"
    ))
    .await?;
    db.sql(
        "INSERT INTO platform.identity_providers (id, name, kind, issuer, settings, created_at, updated_at, created_by)
         VALUES (gen_random_uuid(), 'n', 'oidc', 'of the platform', '{}', now(), now(), '')",
    )
    .await?;
    let by_table = [
        (
            "jobs",
            format!(
                "(id, kind, tenant_id, payload, max_attempts) VALUES (gen_random_uuid(), 'purge_expired', '{id}', '{{}}', 5)"
            ),
        ),
        (
            "identity_providers",
            format!(
                "(id, tenant_id, name, kind, issuer, settings, created_at, updated_at, created_by) \
                 VALUES (gen_random_uuid(), '{id}', 'n', 'oidc', 'i', '{{}}', now(), now(), '')"
            ),
        ),
        (
            "identity_provider_tenants",
            format!(
                "SELECT id, '{id}', 'developer', 'developer', now(), '' FROM platform.identity_providers"
            ),
        ),
        ("pending_owners", format!("VALUES ('{id}', gen_random_uuid(), 'a@b.example', '')")),
        ("revocations", format!("(tenant_id, subject, subject_id) VALUES ('{id}', 'user', '{id}')")),
        (
            "scaling_decisions",
            format!("VALUES (gen_random_uuid(), '{id}', now(), 'hold', 1, 1, 0, NULL, '')"),
        ),
        ("scaling_policies", format!("VALUES ('{id}', 1, 1, 1, 1, 1, 1, 1)")),
        ("scaling_states", format!("VALUES ('{id}', 3, now())")),
        ("schema_pool", format!("VALUES ('{id}', '{name}', '', now(), now())")),
        ("tenant_schema_versions", format!("VALUES ('{id}', '29990101000000', now())")),
    ];
    // Every table of the platform that has a tenant's id is either checked or stays.
    let mut known: Vec<&str> = by_table.iter().map(|(table, _)| *table).chain(STAYS).collect();
    known.sort_unstable();
    assert_eq!(db.value(WITH_A_TENANT).await?, known.join(" "));

    let mut cases: Vec<(&str, String, String)> = by_table
        .map(|(table, values)| {
            let clear = format!("DELETE FROM platform.{table} WHERE tenant_id = '{id}'");
            ("purged tenants", format!("INSERT INTO platform.{table} {values}"), clear)
        })
        .into();
    let text = gone.id;
    for (body, location) in [
        (format!("'{{\"tenant\": \"{text}\"}}'"), "NULL".to_owned()),
        ("NULL".to_owned(), format!("'/v1/admin/tenants/{text}'")),
    ] {
        let answer = format!(
            "INSERT INTO platform.idempotency_keys VALUES ('opr_a', 'r', 'k', '', 200, {location}, {body}, now())"
        );
        cases.push(("purged tenants", answer, "DELETE FROM platform.idempotency_keys".into()));
    }
    for (column, value) in [("requests_per_minute", "7"), ("burst", "7")] {
        let set = |value: &str| format!("UPDATE platform.tenants SET {column} = {value} WHERE id = '{id}'");
        cases.push(("purged tenants", set(value), set("NULL")));
    }
    cases.push((
        "purged tenants",
        format!("CREATE SCHEMA {name} AUTHORIZATION bulkhead_owner"),
        format!("DROP SCHEMA {name}"),
    ));
    cases.push(("purged tenants", format!("CREATE ROLE {name}"), format!("DROP ROLE {name}")));
    noticed(&db, &cases).await
}

#[tokio::test]
async fn every_role_that_may_do_too_much_or_too_little_is_noticed() -> Result<()> {
    let site = Site::new().await?;
    let creator = site.creator().await?;
    let Site { db, a, b, pooled } = site;
    let cases = [
        (
            "roles",
            "ALTER ROLE bulkhead_tenant INHERIT".to_owned(),
            "ALTER ROLE bulkhead_tenant NOINHERIT".to_owned(),
        ),
        (
            "roles",
            "ALTER ROLE bulkhead_tenant BYPASSRLS".into(),
            "ALTER ROLE bulkhead_tenant NOBYPASSRLS".into(),
        ),
        (
            "roles",
            "ALTER ROLE bulkhead_platform SUPERUSER".into(),
            "ALTER ROLE bulkhead_platform NOSUPERUSER".into(),
        ),
        (
            "memberships",
            "GRANT bulkhead_owner TO bulkhead_tenant".into(),
            "REVOKE bulkhead_owner FROM bulkhead_tenant".into(),
        ),
        (
            "memberships",
            "REVOKE bulkhead_platform_rw FROM bulkhead_platform".into(),
            "GRANT bulkhead_platform_rw TO bulkhead_platform".into(),
        ),
        ("tenant roles", format!("ALTER ROLE {a} LOGIN"), format!("ALTER ROLE {a} NOLOGIN")),
        ("tenant roles", format!("ALTER ROLE {pooled} LOGIN"), format!("ALTER ROLE {pooled} NOLOGIN")),
        ("tenant roles", format!("GRANT {b} TO {pooled}"), format!("REVOKE {b} FROM {pooled}")),
        ("tenant roles", format!("GRANT {b} TO {a}"), format!("REVOKE {b} FROM {a}")),
        (
            "tenant roles",
            format!("REVOKE {a} FROM bulkhead_tenant GRANTED BY {creator}"),
            format!("GRANT {a} TO bulkhead_tenant GRANTED BY {creator}"),
        ),
        (
            "tenant roles",
            format!("REVOKE bulkhead_tenants FROM {a} GRANTED BY {creator}"),
            format!("GRANT bulkhead_tenants TO {a} GRANTED BY {creator}"),
        ),
        ("tenant roles", format!("CREATE SCHEMA own AUTHORIZATION {a}"), "DROP SCHEMA own".into()),
    ];
    noticed(&db, &cases).await
}

#[tokio::test]
async fn creators_of_roles_that_somebody_else_could_use_are_noticed() -> Result<()> {
    let site = Site::new().await?;
    let creator = site.creator().await?;
    let Site { db, a, .. } = site;
    let cases = [
        (
            "role creators",
            format!("ALTER FUNCTION tenant_roles.{creator} SECURITY INVOKER"),
            format!("ALTER FUNCTION tenant_roles.{creator} SECURITY DEFINER"),
        ),
        (
            "role creators",
            format!("ALTER FUNCTION tenant_roles.{creator} RESET search_path"),
            format!("ALTER FUNCTION tenant_roles.{creator} SET search_path = pg_catalog, pg_temp"),
        ),
        (
            "role creators",
            format!("ALTER FUNCTION tenant_roles.{creator} OWNER TO postgres"),
            format!("ALTER FUNCTION tenant_roles.{creator} OWNER TO {creator}"),
        ),
        (
            "role creators",
            format!("GRANT EXECUTE ON FUNCTION tenant_roles.{creator} TO PUBLIC"),
            format!("REVOKE EXECUTE ON FUNCTION tenant_roles.{creator} FROM PUBLIC"),
        ),
        (
            "role creators",
            "GRANT USAGE ON SCHEMA tenant_roles TO bulkhead_platform_rw".into(),
            "REVOKE USAGE ON SCHEMA tenant_roles FROM bulkhead_platform_rw".into(),
        ),
        (
            "role creators",
            "ALTER FUNCTION tenant_roles.make SECURITY DEFINER".into(),
            "ALTER FUNCTION tenant_roles.make SECURITY INVOKER".into(),
        ),
        ("roles", format!("ALTER ROLE {creator} LOGIN"), format!("ALTER ROLE {creator} NOLOGIN")),
        (
            "roles",
            "ALTER ROLE bulkhead_provisioner CREATEROLE".into(),
            "ALTER ROLE bulkhead_provisioner NOCREATEROLE".into(),
        ),
        (
            "memberships",
            format!("GRANT {creator} TO bulkhead_provisioner"),
            format!("REVOKE {creator} FROM bulkhead_provisioner"),
        ),
        (
            "memberships",
            format!("GRANT bulkhead_owner TO {creator}"),
            format!("REVOKE bulkhead_owner FROM {creator}"),
        ),
        (
            "tenant roles",
            format!("GRANT {a} TO bulkhead_provisioner"),
            format!("REVOKE {a} FROM bulkhead_provisioner"),
        ),
    ];
    noticed(&db, &cases).await
}

#[tokio::test]
async fn signing_keys_that_nobody_tends_are_reported() -> Result<()> {
    let db = TestDb::new().await?;
    let key = |kid: &str, state: &str, times: &str| {
        format!(
            "INSERT INTO platform.signing_keys (kid, state, public_jwk, sealed_private, created_at, activated_at, retired_at) \
             VALUES ('{kid}', '{state}', '{{}}', '', {times})"
        )
    };
    let detail = async || -> Result<(Level, String)> {
        let found = findings(&db).await?.into_iter().find(|finding| finding.check == "signing keys");
        Ok(found.map(|finding| (finding.level, finding.detail)).unwrap())
    };
    db.sql(&key("a", "active", "now(), now(), NULL")).await?;
    assert_eq!(detail().await?.0, Level::Ok, "the worker has not run yet");
    db.sql("UPDATE platform.signing_keys SET activated_at = now() - interval '2 hours'").await?;
    assert_eq!(detail().await?, (Level::Warning, "no key is published ahead".to_owned()));
    db.sql(&key("s", "standby", "now(), NULL, NULL")).await?;
    assert_eq!(detail().await?.0, Level::Ok);
    db.sql(&key("r", "retired", "now(), now(), now() - interval '1 hour'")).await?;
    assert_eq!(detail().await?.0, Level::Ok);
    db.sql("UPDATE platform.signing_keys SET retired_at = now() - interval '4 hours' WHERE kid = 'r'")
        .await?;
    let (level, found) = detail().await?;
    assert!(level == Level::Warning && found.starts_with("r was retired at "), "{found}");
    db.sql("DELETE FROM platform.signing_keys WHERE kid <> 's'").await?;
    assert_eq!(detail().await?, (Level::Warning, "no key signs".to_owned()));
    Ok(())
}
