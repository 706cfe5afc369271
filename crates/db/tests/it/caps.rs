//! As much as a plan allows, and not one more.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Db, DbError, TenantTx,
    gate::identity_providers,
    identity_providers::{IdentityProvider, OIDC, ProviderSettings},
    tenant::{
        api_keys::{self, Grantor, NewApiKey},
        caps::{self, Capped},
        one_time_tokens::{self, NewMailed, TokenPurpose},
        roles::{self, NewRole},
        users,
    },
};
use bulkhead_domain::{
    ApiKeyId, Clock as _, IdentityProviderId, OneTimeTokenId, PlanName, RoleName, SystemClock, UserId,
};
use bulkhead_fixtures::{Login, TestDb, TestTenant};
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A transaction that says when it has added, and ends when it is told to.
struct Open {
    added: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

async fn insert_provider(tx: &mut TenantTx, at: DateTime<Utc>) -> Result<(), DbError> {
    let id = IdentityProviderId::mint(at);
    let role = RoleName::READ_ONLY;
    let settings = ProviderSettings {
        jwks_url: None,
        api_url: None,
        scopes: Vec::new(),
        password_login: false,
        creates_users: false,
        asks_second_factor: false,
        makes_users: false,
        default_role: role,
        max_role: role,
        role_claim: None,
        role_map: BTreeMap::new(),
    };
    let provider = IdentityProvider {
        id,
        tenant: None,
        name: "a provider".to_owned(),
        kind: OIDC.to_owned(),
        issuer: "https://login.example.com".to_owned(),
        audience: Some(id.to_string()),
        client_id: None,
        sealed_client_secret: None,
        settings,
        enabled: true,
        version: 1,
        created_at: at,
        updated_at: at,
        created_by: "usr_".to_owned(),
    };
    identity_providers::insert(tx, &provider).await
}

/// Adds a person or a key, if there is room; whether there was.
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn add(db: &Db, tenant: &TestTenant, what: Capped, open: Option<Open>) -> Result<bool> {
    let at = SystemClock.now();
    let added = db
        .write::<_, DbError>(tenant.proven(), async |tx| {
            if caps::claim(tx, what).await?.is_reached() {
                return Ok(false);
            }
            match what {
                Capped::Users => {
                    let id = UserId::mint(at);
                    users::insert(tx, id, &id.to_string(), "hash", RoleName::READ_ONLY, at).await?;
                }
                Capped::ApiKeys => {
                    let new = NewApiKey {
                        id: ApiKeyId::mint(at),
                        name: "a program",
                        hint: "bh_test_",
                        mac: &[],
                        role: RoleName::READ_ONLY,
                        created_by: "usr_",
                        grantor: Grantor::Nobody,
                        scopes: None,
                        allowed_addresses: None,
                        requests_per_minute: None,
                        at,
                        expires_at: None,
                    };
                    api_keys::insert(tx, &new).await?;
                }
                Capped::Roles => {
                    let name = format!("role_{}", UserId::mint(at).uuid().simple());
                    let name = name[name.len() - 31..].trim_start_matches(|c: char| !c.is_ascii_lowercase());
                    let new = NewRole {
                        name: name.parse().map_err(|_form| DbError::Busy)?,
                        description: "",
                        permissions: &[],
                        created_by: "usr_",
                        at,
                    };
                    roles::insert(tx, &new).await?;
                }
                Capped::Invitations => {
                    let id = OneTimeTokenId::mint(at);
                    let email = id.to_string();
                    let new = NewMailed {
                        id,
                        purpose: TokenPurpose::Invitation,
                        user: None,
                        email: Some(&email),
                        role: Some(RoleName::READ_ONLY),
                        password_hash: None,
                        mac: &[],
                        created_by: "usr_",
                        at,
                        expires_at: at + chrono::TimeDelta::days(1),
                    };
                    one_time_tokens::insert_mailed(tx, &new).await?;
                }
                Capped::IdentityProviders => insert_provider(tx, at).await?,
            }
            if let Some(Open { added, go }) = open {
                added.send(()).map_err(|()| DbError::Busy)?;
                go.await.map_err(|_gone| DbError::Busy)?;
            }
            Ok(true)
        })
        .await?;
    Ok(added)
}

#[tokio::test]
async fn two_at_once_do_not_pass_the_cap() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let other = db.create_tenant("other", PlanName::FREE).await?;
    // The owner is there already.
    db.sql("UPDATE platform.plans SET max_users = 2, max_api_keys = 1 WHERE name = 'free'").await?;
    for tenant in [&tenant, &other] {
        let schema = tenant.schema();
        db.sql(&format!(
            "INSERT INTO {schema}.roles SELECT 'r' || n, '', '{{}}', 1, now(), now(), '' FROM generate_series(1, 49) n"
        ))
        .await?;
        db.sql(&format!(
            "INSERT INTO {schema}.one_time_tokens \
             (id, purpose, mac, created_by, created_at, expires_at, email, role) \
             SELECT gen_random_uuid(), 'invitation', '', '', now(), now() + interval '1 day', n, 'read_only' \
             FROM generate_series(1, 999) n"
        ))
        .await?;
    }
    let pool = db.db()?;
    for what in [Capped::Users, Capped::ApiKeys, Capped::Roles, Capped::Invitations] {
        let ((added, is_added), (tell, go)) = (oneshot::channel(), oneshot::channel());
        let second = async {
            is_added.await?;
            add(&pool, &tenant, what, None).await
        };
        let release = async {
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let begun = Instant::now();
            while db.value(waiting).await? != "1" {
                anyhow::ensure!(begun.elapsed() < PATIENCE, "the second does not wait for the first");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // Another tenant does not wait for this one.
            anyhow::ensure!(add(&pool, &other, what, None).await?);
            tell.send(()).ok().context("it did not wait")?;
            anyhow::Ok(())
        };
        let first = add(&pool, &tenant, what, Some(Open { added, go }));
        let (first, second, released) = tokio::join!(first, second, release);
        released?;
        assert_eq!((first?, second?), (true, false), "{what:?}");
        assert!(!add(&pool, &tenant, what, None).await?);
    }
    Ok(())
}

/// The lock is named by a table of the tenant's own, and no two tables of a database have the same number. A hash of the names
/// would be shared by some two of many tenants.
#[tokio::test]
async fn no_two_tenants_share_a_lock() -> Result<()> {
    let db = TestDb::new().await?;
    let pool = db.db()?;
    for tenant in
        [db.create_tenant("acme", PlanName::FREE).await?, db.create_tenant("other", PlanName::FREE).await?]
    {
        for (what, table) in
            [(Capped::Users, "users"), (Capped::ApiKeys, "api_keys"), (Capped::Roles, "roles")]
        {
            let locked = pool
                .write::<_, DbError>(tenant.proven(), async |tx| {
                    caps::claim(tx, what).await?;
                    let held = "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND granted \
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                    Ok(db.value(held).await)
                })
                .await??;
            let named = format!("SELECT '{}.{table}'::regclass::oid", tenant.schema());
            assert_eq!(locked, db.value(&named).await?, "{what:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_plan_has_its_own_caps_and_keys_that_do_not_work_take_no_room() -> Result<()> {
    let db = TestDb::new().await?;
    let pool = db.db()?;
    for (plan, most) in
        [(PlanName::FREE, [100, 50]), (PlanName::PRO, [5_000, 500]), (PlanName::ENTERPRISE, [100_000, 5_000])]
    {
        let tenant = db.create_tenant(plan.as_str(), plan.clone()).await?;
        for (what, most) in [Capped::Users, Capped::ApiKeys].into_iter().zip(most) {
            let look = async |tx: &mut _| caps::look(tx, what).await;
            let cap = pool.read::<_, DbError>(tenant.proven(), look).await?;
            assert_eq!((cap.most, cap.used), (most, i64::from(what == Capped::Users)));
        }
    }
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    db.sql("UPDATE platform.plans SET max_api_keys = 1 WHERE name = 'free'").await?;
    let schema = tenant.schema();
    for gone in ["revoked_at = now()", "expires_at = now()"] {
        assert!(add(&pool, &tenant, Capped::ApiKeys, None).await?);
        assert!(!add(&pool, &tenant, Capped::ApiKeys, None).await?);
        db.sql(&format!("UPDATE {schema}.api_keys SET {gone}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_makes_and_revokes_keys_all_day_does_not_fill_its_table() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let schema = tenant.schema();
    db.sql(&format!(
        "INSERT INTO {schema}.api_keys SELECT gen_random_uuid(), n::text, '', '', 'owner', '', now(), NULL, \
         now() - n * interval '1 second' FROM generate_series(1, 1500) n"
    ))
    .await?;
    assert!(add(&db.db()?, &tenant, Capped::ApiKeys, None).await?);
    let left = format!(
        "SELECT concat_ws(' ', count(*), max(name::int)) FROM {schema}.api_keys WHERE revoked_at < now()"
    );
    assert_eq!(db.value(&left).await?, "1000 1000", "the oldest go first");
    Ok(())
}

/// What the door shows is the tenant's own plan, and nothing without a tenant.
#[tokio::test]
async fn nobody_sees_or_changes_another_tenants_caps() -> Result<()> {
    let db = TestDb::new().await?;
    let (free, pro) =
        (db.create_tenant("free", PlanName::FREE).await?, db.create_tenant("pro", PlanName::PRO).await?);
    let client = db.session(Login::Tenant).await?;
    for (tenant, most) in [(&free, 100), (&pro, 5_000)] {
        client.batch_execute(&format!("SET ROLE {}", tenant.schema())).await?;
        let rows = client.query("SELECT max_users FROM gate.plan_limits", &[]).await?;
        assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [most]);
        assert!(client.batch_execute("UPDATE gate.plan_limits SET max_users = 1000000").await.is_err());
        assert!(client.batch_execute("SELECT platform.revocations_kept()").await.is_err());
    }
    Ok(())
}
