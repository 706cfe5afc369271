//! What a code and a challenge are worth once something has changed since they were shown.

use anyhow::{Context as _, Result};
use bulkhead_auth::{
    AuthError, CodeAttempt, FactorError, FactorTx as _, RecoveryCodes, SecondFactorRule, Tokens, TotpSecret,
    second_factor,
};
use bulkhead_db::{DbError, DbResult, TenantTx};
use bulkhead_domain::{Clock as _, PlanName, SystemClock};
use bulkhead_fixtures::{OWNER_PASSWORD, TestDb, TestTenant};
use chrono::TimeDelta;
use tokio::task::LocalSet;

use crate::{
    forger,
    node::{Node, REQUEST, admit, meanwhile, until},
};

/// The code that a phone shows, so many steps ahead of now.
fn code(secret: &TotpSecret, ahead: i32) -> String {
    secret.code_at(SystemClock.now() + TimeDelta::seconds(30) * ahead)
}

/// A node where owners must have a second factor, and a tenant whose owner has none.
struct Given {
    db: TestDb,
    tenant: TestTenant,
    node: Node,
}

impl Given {
    async fn new() -> Result<Self> {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::requiring(&db, SecondFactorRule { operators: false, owners: true }).await?;
        Ok(Self { db, tenant, node })
    }

    async fn begin(&self) -> Result<TotpSecret> {
        let (keyring, owner, at) = (forger::keyring(), self.tenant.owner_id, SystemClock.now());
        let begin = async |tx: &mut TenantTx| second_factor::begin(tx, &keyring, owner, at).await;
        let begun = self.node.db.write::<_, FactorError>(self.tenant.proven(), begin).await?;
        begun.context("a confirmed one stays")
    }

    async fn confirm(&self, code: &str) -> Result<bool> {
        let (keyring, owner, at) = (forger::keyring(), self.tenant.owner_id, SystemClock.now());
        let confirm = async |tx: &mut TenantTx| second_factor::confirm(tx, &keyring, owner, code, at).await;
        Ok(self.node.db.write::<_, FactorError>(self.tenant.proven(), confirm).await?.is_some())
    }

    /// The second factor of the owner, in a transaction of its own.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut TenantTx) -> DbResult<T>) -> Result<T> {
        Ok(self.node.db.write::<_, DbError>(self.tenant.proven(), work).await?)
    }

    /// Shows the owner's password.
    async fn challenge(&self) -> Result<(String, bool)> {
        let slug = self.tenant.slug.as_str();
        match self.node.try_login(Some(slug), &self.tenant.owner_email, OWNER_PASSWORD).await {
            Err(AuthError::SecondFactor { challenge, enrols }) => Ok((challenge.reveal().to_owned(), enrols)),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn second_step(
        &self,
        challenge: &str,
        code: &str,
    ) -> Result<(Tokens, Option<RecoveryCodes>), AuthError> {
        let from = [192, 0, 2, 1].into();
        let sent = CodeAttempt { challenge, code, from, user_agent: None, request: REQUEST };
        let Node { db, authenticator, .. } = &self.node;
        authenticator.login_with_code(db, &sent, admit, self.node.now()).await
    }

    async fn enrol(&self, challenge: &str) -> Result<TotpSecret, AuthError> {
        let Node { db, authenticator, .. } = &self.node;
        let made = authenticator.enrol_with_challenge(db, challenge, admit, self.node.now()).await;
        made.map(|(secret, _)| secret)
    }
}

#[tokio::test]
async fn a_secret_whose_place_another_takes_meanwhile_is_not_confirmed() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let secret = Box::pin(given.begin()).await?;
        let shown = code(&secret, 0);
        let replace = "UPDATE second_factors SET sealed_secret = '\\x00'";
        assert!(!meanwhile(&given.db, &given.tenant, replace, given.confirm(&shown)).await??);
        let schema = given.tenant.schema();
        let confirmed = format!("SELECT count(confirmed_at) FROM {schema}.second_factors");
        assert_eq!(given.db.value(&confirmed).await?, "0");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Two who have read the same row go on with it: what one has used up the other does not use.
#[tokio::test]
async fn a_code_counts_for_the_secret_and_the_step_that_its_row_has() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let owner = given.tenant.owner_id;
        let secret = Box::pin(given.begin()).await?;
        assert!(Box::pin(given.confirm(&code(&secret, 0))).await?);
        let factor = given.with(async |tx| tx.factor(owner).await).await?.context("a factor")?;
        let (sealed, next) = (factor.sealed_secret, factor.last_step + 1);
        assert!(!given.with(async |tx| tx.use_step(owner, b"another", next).await).await?);
        assert!(given.with(async |tx| tx.replace_recovery(owner, next, &[vec![7]]).await).await?);
        assert!(!given.with(async |tx| tx.replace_recovery(owner, next, &[vec![8]]).await).await?);
        assert!(!given.with(async |tx| tx.use_step(owner, &sealed, next).await).await?);
        assert!(given.with(async |tx| tx.use_step(owner, &sealed, next + 1).await).await?);
        assert!(!given.with(async |tx| tx.use_step(owner, &sealed, next + 1).await).await?);
        assert!(!given.with(async |tx| tx.use_recovery(owner, &[8]).await).await?);
        assert!(given.with(async |tx| tx.use_recovery(owner, &[7]).await).await?);
        assert!(!given.with(async |tx| tx.use_recovery(owner, &[7]).await).await?);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_second_step_inside_an_open_change_of_password_is_refused() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let secret = Box::pin(given.begin()).await?;
        assert!(Box::pin(given.confirm(&code(&secret, 0))).await?);
        let (challenge, enrols) = given.challenge().await?;
        assert!(!enrols);
        let shown = code(&secret, 1);
        let change = "UPDATE users SET password_hash = 'another'";
        let step = given.second_step(&challenge, &shown);
        let refused = meanwhile(&given.db, &given.tenant, change, step).await?;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        let opened = format!("SELECT count(*) FROM {}.sessions", given.tenant.schema());
        assert_eq!(given.db.value(&opened).await?, "0");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_wrong_code_is_told_like_a_wrong_password() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let secret = Box::pin(given.begin()).await?;
        assert!(Box::pin(given.confirm(&code(&secret, 0))).await?);
        let (challenge, _) = given.challenge().await?;
        let refused = given.second_step(&challenge, "000000").await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        let told = format!(
            "SELECT count(*) FROM {}.audit_log WHERE action = 'login_failed' AND target = '{}'",
            given.tenant.schema(),
            given.tenant.owner_id
        );
        until(&given.db, &told, "1").await
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// With a challenge one gets a secret, too: as long as the password stays what it is, for five minutes, and while the tenant is in
/// service.
#[tokio::test]
async fn a_challenge_that_is_over_gives_neither_a_secret_nor_a_session() -> Result<()> {
    let test = async {
        let mut given = Given::new().await?;
        let (challenge, enrols) = given.challenge().await?;
        assert!(enrols);
        let secret = given.enrol(&challenge).await?;
        let schema = given.tenant.schema();
        let hash = given.db.value(&format!("SELECT password_hash FROM {schema}.users")).await?;

        given.node.skew = TimeDelta::seconds(301);
        let refused = given.enrol(&challenge).await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        let refused = given.second_step(&challenge, &code(&secret, 0)).await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");

        given.node.skew = TimeDelta::zero();
        given.db.sql(&format!("UPDATE {schema}.users SET password_hash = 'another'")).await?;
        let refused = given.enrol(&challenge).await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        given.db.sql(&format!("UPDATE {schema}.users SET password_hash = '{hash}'")).await?;

        // Too long after the last read of what has changed, so that the tenant is read anew.
        given.db.sql("UPDATE platform.tenants SET status = 'suspended'").await?;
        given.node.skew = TimeDelta::seconds(6);
        let refused = given.enrol(&challenge).await;
        assert!(matches!(refused, Err(AuthError::Suspended(_))), "{refused:?}");
        let refused = given.second_step(&challenge, &code(&secret, 0)).await;
        assert!(matches!(refused, Err(AuthError::Suspended(_))), "{refused:?}");
        given.db.sql("UPDATE platform.tenants SET status = 'active'").await?;
        given.second_step(&challenge, &code(&secret, 0)).await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
