//! Setting a server up, as a superuser and as what a managed service gives instead.

use anyhow::Result;
use bulkhead_db::{
    Authority, Connector, Db, DbError, DbResult, Owner, Pool,
    fleet::{
        bootstrap::{Logins, bootstrap},
        inspect::{Level, inspect},
        migrate::{MigrateOptions, Sets, migrate},
        provision::{Provisioned, provision_tenant},
    },
    platform::tenants::{self, NewTenant},
};
use bulkhead_domain::{Clock as _, JobId, PlanName, Slug, SystemClock, TenantId, UserId};
use bulkhead_fixtures::{Cluster, Login, TestDb, timeouts};
use std::{sync::Arc, time::Duration};

/// The URLs of one database of a cluster, under the passwords of this test.
struct Site {
    cluster: Arc<Cluster>,
    database: &'static str,
    admin: String,
    password: &'static str,
}

impl Site {
    fn connector(&self, login: &str, password: &str) -> Result<Connector> {
        let url = self.cluster.url(Login::Admin, self.database);
        let address = url.rsplit('@').next().unwrap_or_default().to_owned();
        Ok(Connector::new(&format!("postgres://{login}:{password}@{address}"), None, Duration::from_secs(5))?)
    }

    async fn bootstrap(&self) -> Result<DbResult<()>> {
        let admin = Connector::new(&self.admin, None, Duration::from_secs(5))?.with_database(self.database);
        let login = |name| self.connector(name, self.password);
        let (tenant, platform, provisioner) =
            (login("bulkhead_tenant")?, login("bulkhead_platform")?, login("bulkhead_provisioner")?);
        let logins = Logins { tenant: &tenant, platform: &platform, provisioner: &provisioner };
        Ok(bootstrap(&admin, &logins).await)
    }

    fn pool(&self, login: &str) -> Result<Pool> {
        Ok(Pool::new(self.connector(login, self.password)?, TestDb::pool_options(1)))
    }

    fn db(&self) -> Result<Db> {
        Ok(Db::new(self.pool("bulkhead_tenant")?, self.pool("bulkhead_platform")?, timeouts()))
    }
}

/// A server without any of the product's roles, and a master user as Amazon RDS makes it.
async fn managed() -> Result<Site> {
    let cluster = Cluster::start(|_| {}, None).await?;
    let admin = cluster.session(Login::Admin, "postgres").await?;
    admin.batch_execute("DROP DATABASE bulkhead_template").await?;
    admin
        .batch_execute(
            "DROP OWNED BY bulkhead_owner, bulkhead_tenant, bulkhead_platform, bulkhead_provisioner, bulkhead_tenants;
             DROP ROLE bulkhead_owner, bulkhead_platform_rw, bulkhead_tenants, bulkhead_tenant, bulkhead_platform,
                 bulkhead_provisioner;
             DO $$DECLARE creator text; BEGIN
                 FOR creator IN SELECT rolname FROM pg_roles WHERE rolname ~ '^bulkhead_creator_' LOOP
                     EXECUTE format('DROP ROLE %I', creator);
                 END LOOP;
             END$$;
             CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD 'm'",
        )
        .await?;
    let address = cluster.url(Login::Admin, "postgres").rsplit('@').next().unwrap_or_default().to_owned();
    let admin = format!("postgres://master:m@{address}");
    Ok(Site { cluster, database: "made_by_master", admin, password: "one" })
}

#[tokio::test]
async fn a_master_user_that_is_no_superuser_can_set_everything_up() -> Result<()> {
    let site = managed().await?;
    site.bootstrap().await??;
    site.bootstrap().await??;

    let owner = Owner::new(site.pool("bulkhead_provisioner")?, timeouts());
    migrate(&owner, &Sets::core(), &MigrateOptions::default(), &|_| {}).await?;
    let at = SystemClock.now();
    let slug: Slug = "acme".parse()?;
    let id = site
        .db()?
        .platform_write::<_, DbError>(Authority::machinery(), async |tx| {
            let owner_password_hash = "x";
            let owner_email = "a@b.example";
            let owner = UserId::mint(at);
            let name = "Acme";
            tenants::insert(
                tx,
                &NewTenant {
                    id: None,
                    slug: &slug,
                    name,
                    plan: PlanName::FREE,
                    owner,
                    owner_email,
                    owner_password_hash,
                    at,
                },
            )
            .await
        })
        .await?
        .id;
    let built = owner.write(async |tx| provision_tenant(tx, id, JobId::mint(at), at).await).await?;
    assert_eq!(built, Provisioned::Built);

    let broken: Vec<_> = inspect(&owner, &Sets::core())
        .await?
        .into_iter()
        // Only a superuser can close the functions of large objects; that is a warning.
        .filter(|finding| finding.level == Level::Broken)
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let admin = site.cluster.session(Login::Admin, "postgres").await?;
    let member = admin.query_one("SELECT pg_has_role('master', 'bulkhead_owner', 'USAGE')", &[]).await?;
    assert!(!member.get::<_, bool>(0), "it does not stay a member of the owner");
    let admin = site.cluster.session(Login::Admin, site.database).await?;
    // Neither roles nor batches can have bound values; the name is the test's own.
    let role = format!("t_{}", "0".repeat(26));
    let [make, remove] =
        ["make", "remove"].map(|function| format!("SELECT tenant_roles.{function}('{role}')"));
    admin.batch_execute(&format!("SET ROLE bulkhead_owner; {make}; {remove}; {make}")).await?;
    Ok(())
}

#[tokio::test]
async fn running_it_again_repairs_roles_and_changes_passwords() -> Result<()> {
    let cluster = Cluster::start(|_| {}, None).await?;
    let admin = cluster.session(Login::Admin, "postgres").await?;
    let url = cluster.url(Login::Admin, "");
    let mut site = Site { cluster, database: "repaired", admin: url, password: "one" };
    let (a, b) = tokio::join!(site.bootstrap(), site.bootstrap());
    a??;
    b??;
    admin
        .batch_execute(
            "ALTER ROLE bulkhead_tenant INHERIT CREATEDB; ALTER ROLE bulkhead_owner LOGIN;
             ALTER ROLE bulkhead_platform SET search_path = public; REVOKE bulkhead_owner FROM bulkhead_provisioner;
             GRANT CONNECT ON DATABASE repaired TO PUBLIC",
        )
        .await?;
    // A tenant's role that no creator administers, as servers have it that were older when it was made. The name, which
    // cannot be bound, is the test's own.
    let role = format!("t_{}", "0".repeat(26));
    admin.batch_execute(&format!("CREATE ROLE {role}")).await?;
    // "it's a \ new one", as a URL has it.
    site.password = "it%27s%20a%20%5C%20new%20one";
    site.bootstrap().await??;
    let repaired = site.cluster.session(Login::Admin, site.database).await?;
    repaired.batch_execute(&format!("SET ROLE bulkhead_owner; SELECT tenant_roles.remove('{role}')")).await?;
    let owner = Owner::new(site.pool("bulkhead_provisioner")?, timeouts());
    migrate(&owner, &Sets::core(), &MigrateOptions::default(), &|_| {}).await?;
    let broken: Vec<_> = inspect(&owner, &Sets::core())
        .await?
        .into_iter()
        .filter(|finding| finding.level == Level::Broken)
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");

    let old = Pool::new(site.connector("bulkhead_platform", "one")?, TestDb::pool_options(1));
    let stale = Db::new(site.pool("bulkhead_tenant")?, old, timeouts());
    let refused = stale
        .platform_read::<_, DbError>(Authority::machinery(), async |tx| {
            tenants::find(tx, TenantId::mint(SystemClock.now())).await
        })
        .await;
    assert!(matches!(&refused, Err(DbError::Unavailable(why)) if why.contains("password")), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn urls_with_other_users_are_refused() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let admin = Connector::new(&cluster.url(Login::Admin, "never"), None, Duration::from_secs(5))?;
    let logins = Logins { tenant: &admin, platform: &admin, provisioner: &admin };
    let refused = bootstrap(&admin, &logins).await;
    assert!(matches!(&refused, Err(DbError::Setup(why)) if why.contains("\"postgres\"")), "{refused:?}");
    Ok(())
}
