//! The main path against a server that refuses everything but TLS.

use std::time::Duration;

use anyhow::Result;
use bulkhead_db::{Authority, Connector, Db, DbError, Pool, Tls, gate::profile, platform::tenants};
use bulkhead_domain::{Clock as _, PlanName, SystemClock, TenantId};
use bulkhead_fixtures::{CertificateAuthority, Cluster, TestDb, timeouts};

async fn ask(url: &str, tls: Option<&Tls>) -> Result<(), DbError> {
    let pool = Pool::new(Connector::new(url, tls, Duration::from_secs(5))?, TestDb::pool_options(1));
    let db = Db::new(pool.clone(), pool, timeouts());
    let nobody = TenantId::mint(SystemClock.now());
    db.platform_read::<_, DbError>(Authority::machinery(), async |tx| tenants::find(tx, nobody).await)
        .await
        .map(drop)
}

#[tokio::test]
async fn everything_works_over_tls_and_nothing_without_the_right_certificate() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let certify = |name: &str| CertificateAuthority::new()?.certify("127.0.0.1", &dir.path().join(name));
    let (files, others) = (certify("ours")?, certify("theirs")?);
    let trusted = Tls::verify_full(Some(&files.ca))?;
    let cluster = Cluster::start(move |options| options.tls = Some(files), Some(trusted.clone())).await?;
    // Bootstrap, migrations, sign-up and provisioning have all been over TLS by the end of the next two lines.
    let db = TestDb::on(cluster).await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let seen = db.db()?.read::<_, DbError>(tenant.proven(), async |tx| profile::find(tx).await).await?;
    assert_eq!(seen.map(|profile| profile.id), Some(tenant.id));

    let url = db.urls().platform;
    ask(&url, Some(&trusted)).await?;
    let refused = |outcome: Result<(), DbError>, why: &str| match outcome {
        Err(DbError::Unavailable(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?}"),
    };
    refused(ask(&url, Some(&Tls::verify_full(Some(&others.ca))?)).await, "certificate");
    refused(ask(&url, Some(&Tls::verify_full(None)?)).await, "certificate");
    refused(ask(&url.replace("127.0.0.1", "localhost"), Some(&trusted)).await, "not valid for name");
    refused(ask(&url, None).await, "no encryption");
    // A server that speaks no TLS, or an attacker between client and server that answers so.
    let plain = TestDb::new().await?.urls().platform;
    ask(&plain, None).await?;
    refused(ask(&plain, Some(&trusted)).await, "does not support TLS");
    // The URL cannot talk the connector out of TLS.
    refused(
        ask(&format!("{url}?sslmode=disable"), Some(&Tls::verify_full(Some(&others.ca))?)).await,
        "certificate",
    );
    assert!(Tls::verify_full(Some(&dir.path().join("missing.pem"))).is_err());
    assert!(
        Tls::verify_full(Some(&others.key)).is_err(),
        "a bundle without a certificate trusts no authority"
    );
    Ok(())
}
