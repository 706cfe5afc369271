//! A node with its own view and cache, as a process has them.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use bulkhead_auth::{
    AccessTokens, AuthError, Authenticated, Authenticator, Bounds, Caller, LoginAttempt, PasswordHasher,
    Principal, Request, SecondFactorRule, Tokens, api_key,
};
use bulkhead_db::{
    Authority, Db, DbError,
    gate::revocations::{Revoked, revoke},
    platform::{signing_keys, tenants::DirectoryEntry},
    tenant::{
        api_keys::{self, Grantor, NewApiKey},
        users,
    },
};
use bulkhead_domain::{ApiKeyId, Clock as _, RoleName, SystemClock, UserId};
use bulkhead_fixtures::{Login, OWNER_PASSWORD, TestDb, TestTenant};
use chrono::{DateTime, TimeDelta, Utc};

use crate::forger;

/// From where its callers come.
pub(crate) const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the audit log says of where a log-in came from.
pub(crate) const REQUEST: Request<'static> = Request { id: "req_test", address: "192.0.2.1" };

/// A node whose clock goes wrong by `skew`.
pub(crate) struct Node {
    pub(crate) db: Db,
    pub(crate) authenticator: Authenticator,
    pub(crate) skew: TimeDelta,
}

impl Node {
    /// A node that has read keys and revocations.
    pub(crate) async fn on(db: &TestDb) -> Result<Self> {
        Self::with(db.db()?, Bounds::default()).await
    }

    pub(crate) async fn skewed(db: &TestDb, skew: TimeDelta) -> Result<Self> {
        let node = Self { skew, ..Self::made(db.db()?, Bounds::default()) };
        node.start().await?;
        Ok(node)
    }

    pub(crate) async fn with(db: Db, bounds: Bounds) -> Result<Self> {
        let node = Self::made(db, bounds);
        node.start().await?;
        Ok(node)
    }

    /// One whose people need a second factor as this rule says.
    pub(crate) async fn requiring(db: &TestDb, rule: SecondFactorRule) -> Result<Self> {
        let made = Self::made(db.db()?, Bounds::default());
        let node = Self { authenticator: made.authenticator.requiring(rule), ..made };
        node.start().await?;
        Ok(node)
    }

    /// One whose access tokens are good for an hour.
    pub(crate) async fn lasting(db: &TestDb) -> Result<Self> {
        let node = Self::made_with(db.db()?, Bounds::default(), forger::lasting_tokens());
        node.start().await?;
        Ok(node)
    }

    fn made(db: Db, bounds: Bounds) -> Self {
        Self::made_with(db, bounds, forger::tokens())
    }

    fn made_with(db: Db, bounds: Bounds, tokens: AccessTokens) -> Self {
        let keyring = Arc::new(forger::keyring());
        let authenticator = Authenticator::new(
            keyring,
            PasswordHasher::new(2),
            tokens,
            forger::access(),
            TimeDelta::days(30),
            bounds,
        );
        Self { db, authenticator, skew: TimeDelta::zero() }
    }

    async fn start(&self) -> Result<()> {
        // Making a key takes a while, so all tests have the same.
        let key = forger::keys().active()?;
        let (kid, jwk) = (key.public().kid().to_owned(), key.public().to_jwk());
        let sealed = key.sealed(&forger::keyring())?;
        let insert = async |tx: &mut _| signing_keys::insert_first(tx, &kid, &jwk, &sealed, self.now()).await;
        self.db.platform_write::<_, DbError>(Authority::machinery(), insert).await?;
        self.authenticator.load_keys(&self.db, self.now()).await?;
        self.read().await
    }

    /// What its clock says.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.skew
    }

    /// Reads what was revoked.
    pub(crate) async fn read(&self) -> Result<()> {
        Ok(self.authenticator.read_revocations(&self.db, self.now()).await?)
    }

    pub(crate) async fn let_in(&self, credential: &str) -> Result<Authenticated, AuthError> {
        self.let_in_from(HERE, credential).await
    }

    /// The same for a caller of another address.
    pub(crate) async fn let_in_from(
        &self,
        from: Option<IpAddr>,
        credential: &str,
    ) -> Result<Authenticated, AuthError> {
        let caller = Caller { from, request_id: "req_1" };
        self.authenticator.authenticate(&self.db, credential, caller, || Ok(()), self.now()).await
    }

    pub(crate) async fn try_login(
        &self,
        tenant: Option<&str>,
        email: &str,
        password: &str,
    ) -> Result<Tokens, AuthError> {
        let attempt = LoginAttempt {
            tenant,
            email,
            password,
            from: [192, 0, 2, 1].into(),
            user_agent: None,
            request: REQUEST,
        };
        self.authenticator.login(&self.db, &attempt, || Ok(()), admit, self.now()).await
    }

    /// Logs the tenant's first owner in.
    pub(crate) async fn log_in(&self, tenant: &TestTenant) -> Result<Tokens, AuthError> {
        self.try_login(Some(tenant.slug.as_str()), &tenant.owner_email, OWNER_PASSWORD).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<Tokens, AuthError> {
        self.authenticator.refresh(&self.db, token, &REQUEST, admit, self.now()).await
    }

    pub(crate) async fn log_out(&self, token: &str) -> Result<(), AuthError> {
        self.authenticator.logout(&self.db, token, &REQUEST, self.now()).await
    }

    /// Makes an API key of a developer, for which the owner answers.
    pub(crate) async fn key(&self, tenant: &TestTenant) -> Result<(ApiKeyId, String)> {
        self.key_with(tenant, |_| {}).await
    }

    /// Makes an API key that is changed in some way before.
    pub(crate) async fn key_with<'a>(
        &self,
        tenant: &TestTenant,
        change: impl FnOnce(&mut NewApiKey<'a>),
    ) -> Result<(ApiKeyId, String)> {
        let id = ApiKeyId::mint(SystemClock.now());
        let (key, mac) = api_key::issue(&forger::keyring(), "test", tenant.id, id)?;
        let mut bounds = NewApiKey {
            id,
            name: "a program",
            hint: "",
            mac: &[],
            role: RoleName::DEVELOPER,
            scopes: None,
            allowed_addresses: None,
            requests_per_minute: None,
            created_by: "usr_",
            grantor: Grantor::User(tenant.owner_id),
            at: SystemClock.now(),
            expires_at: None,
        };
        change(&mut bounds);
        let new = NewApiKey { hint: key.hint(), mac: &mac, ..bounds };
        self.db.write::<_, DbError>(tenant.proven(), async |tx| api_keys::insert(tx, &new).await).await?;
        Ok((id, key.reveal().to_owned()))
    }

    /// Gives a person another role, as the API does.
    pub(crate) async fn set_role(&self, tenant: &TestTenant, id: UserId, role: RoleName) -> Result<()> {
        let change = async |tx: &mut _| {
            users::set_role(tx, id, role, SystemClock.now()).await?;
            revoke(tx, Revoked::User(id)).await
        };
        Ok(self.db.write::<_, DbError>(tenant.proven(), change).await?)
    }

    /// Takes a person's tokens back without changing anything about them.
    pub(crate) async fn revoke_person(&self, tenant: &TestTenant, id: UserId) -> Result<()> {
        let revoke = async |tx: &mut _| revoke(tx, Revoked::User(id)).await;
        Ok(self.db.write::<_, DbError>(tenant.proven(), revoke).await?)
    }

    /// Revokes an API key, as the API does.
    pub(crate) async fn revoke_key(&self, tenant: &TestTenant, id: ApiKeyId) -> Result<()> {
        let revoke = async |tx: &mut _| {
            api_keys::revoke(tx, id, SystemClock.now()).await?;
            revoke(tx, Revoked::ApiKey(id)).await
        };
        Ok(self.db.write::<_, DbError>(tenant.proven(), revoke).await?)
    }

    /// Takes back what was never given.
    pub(crate) async fn revoke_another(&self, tenant: &TestTenant) -> Result<()> {
        let another = Revoked::User(UserId::mint(SystemClock.now()));
        Ok(self.db.write::<_, DbError>(tenant.proven(), async |tx| revoke(tx, another).await).await?)
    }
}

/// No limit.
pub(crate) async fn admit(_: &DirectoryEntry) -> Result<(), Duration> {
    Ok(())
}

/// Runs this as the tenant in a transaction that stays open, waits until `work` waits for it, and commits. What `work` has
/// yielded then.
pub(crate) fn meanwhile<'a, T: 'a>(
    db: &'a TestDb,
    tenant: &TestTenant,
    sql: &str,
    work: impl Future<Output = T> + 'a,
) -> Work<'a, T> {
    let schema = tenant.schema();
    held(db, &format!("SET LOCAL ROLE {schema}; SET LOCAL search_path = {schema}; {sql}"), 1, work)
}

/// The same, as the superuser, and until so many wait.
pub(crate) fn held<'a, T: 'a>(
    db: &'a TestDb,
    sql: &str,
    waiting: u32,
    work: impl Future<Output = T> + 'a,
) -> Work<'a, T> {
    let begin = format!("BEGIN; {sql}");
    Box::pin(async move {
        let client = db.session(Login::Admin).await?;
        client.batch_execute(&begin).await?;
        let release = async {
            until(db, WAITING, &waiting.to_string()).await?;
            client.batch_execute("COMMIT").await?;
            anyhow::Ok(())
        };
        let (result, released) = tokio::join!(work, release);
        released?;
        Ok(result)
    })
}

type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// How many sessions of this database wait for a lock.
pub(crate) const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Waits until SQL yields this.
pub(crate) async fn until(db: &TestDb, sql: &str, wanted: &str) -> Result<()> {
    let begun = std::time::Instant::now();
    while db.value(sql).await? != wanted {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "it is not {wanted}: {sql}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The role that a token gives.
pub(crate) fn role_of(authenticated: &Authenticated) -> Option<RoleName> {
    match authenticated.principal {
        Principal::User { role, .. } | Principal::ApiKey { role, .. } => Some(role.name()),
        Principal::Operator { .. } | Principal::OperatorKey { .. } => None,
    }
}
