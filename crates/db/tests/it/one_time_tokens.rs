//! Secrets that work once: a row is found by its id, its purpose and its MAC together, as long as it has not expired.

use anyhow::Result;
use bulkhead_db::{
    Authority, DbError, PlatformTx, TenantTx,
    platform::sign_ups::{self, NewSignUp},
    tenant::one_time_tokens::{self, NewMailed, TokenPurpose},
};
use bulkhead_domain::{Clock as _, OneTimeTokenId, PlanName, SystemClock};
use bulkhead_fixtures::{TestDb, TestTenant};
use chrono::TimeDelta;

const MAC: [u8; 32] = [7; 32];
const ANOTHER: [u8; 32] = [8; 32];

struct Given {
    db: TestDb,
    tenant: TestTenant,
}

impl Given {
    async fn new() -> Result<Self> {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        Ok(Self { db, tenant })
    }

    /// A token that works for another minute, or has worked until a minute ago.
    async fn token(&self, purpose: TokenPurpose, works: bool) -> Result<OneTimeTokenId> {
        let at = SystemClock.now();
        let of_user = purpose == TokenPurpose::PasswordForgotten;
        let new = NewMailed {
            id: OneTimeTokenId::mint(at),
            purpose,
            user: of_user.then_some(self.tenant.owner_id),
            email: (!of_user).then_some("grace@example.com"),
            role: None,
            password_hash: None,
            mac: &MAC,
            created_by: "usr_1",
            at,
            expires_at: at + TimeDelta::minutes(if works { 1 } else { -1 }),
        };
        let insert = async |tx: &mut TenantTx| one_time_tokens::insert_mailed(tx, &new).await;
        self.db.db()?.write::<_, DbError>(self.tenant.proven(), insert).await?;
        Ok(new.id)
    }

    /// Whether it is found, whether a mail about it would be sent, and whether it can be used up.
    async fn works(&self, purpose: TokenPurpose, id: OneTimeTokenId, mac: [u8; 32]) -> Result<[bool; 3]> {
        let try_it = async |tx: &mut TenantTx| {
            let found = one_time_tokens::find_pending(tx, purpose, id, &mac).await?.is_some();
            let mailed = one_time_tokens::find_to_mail(tx, id).await?.is_some();
            let spent = one_time_tokens::spend_pending(tx, purpose, id, &mac).await?.is_some();
            Ok([found, mailed, spent])
        };
        Ok(self.db.db()?.write::<_, DbError>(self.tenant.proven(), try_it).await?)
    }

    async fn resets(&self, id: OneTimeTokenId, mac: [u8; 32]) -> Result<[bool; 2]> {
        let try_it = async |tx: &mut TenantTx| {
            let found = one_time_tokens::find_reset(tx, id, &mac).await?.is_some();
            let spent = one_time_tokens::spend_reset(tx, id, &mac).await?.is_some();
            Ok([found, spent])
        };
        Ok(self.db.db()?.write::<_, DbError>(self.tenant.proven(), try_it).await?)
    }
}

#[tokio::test]
async fn a_token_works_once_for_its_purpose_and_its_text() -> Result<()> {
    let given = Given::new().await?;
    let (invitation, registration) = (TokenPurpose::Invitation, TokenPurpose::Registration);
    for (purpose, other) in [(invitation, registration), (registration, invitation)] {
        let id = given.token(purpose, true).await?;
        assert_eq!(given.works(other, id, MAC).await?, [false, true, false]);
        assert_eq!(given.works(purpose, id, ANOTHER).await?, [false, true, false]);
        assert_eq!(given.resets(id, MAC).await?, [false; 2]);
        assert_eq!(given.works(purpose, id, MAC).await?, [true; 3]);
        assert_eq!(given.works(purpose, id, MAC).await?, [false; 3]);
        let expired = given.token(purpose, false).await?;
        assert_eq!(given.works(purpose, expired, MAC).await?, [false; 3]);
    }
    Ok(())
}

#[tokio::test]
async fn a_token_for_a_new_password_works_once() -> Result<()> {
    let given = Given::new().await?;
    let expired = given.token(TokenPurpose::PasswordForgotten, false).await?;
    assert_eq!(given.resets(expired, MAC).await?, [false; 2]);
    let id = given.token(TokenPurpose::PasswordForgotten, true).await?;
    assert_eq!(given.resets(id, ANOTHER).await?, [false; 2]);
    assert_eq!(given.resets(id, MAC).await?, [true; 2]);
    assert_eq!(given.resets(id, MAC).await?, [false; 2]);
    Ok(())
}

/// Of those that have expired some are removed at a time; the one that would be in the way always is.
#[tokio::test]
async fn an_invitation_that_has_expired_is_in_nobodys_way() -> Result<()> {
    let given = Given::new().await?;
    let schema = given.tenant.schema();
    let fill = format!(
        "INSERT INTO {schema}.one_time_tokens (id, purpose, mac, created_by, created_at, expires_at, email, role) \
         SELECT gen_random_uuid(), 'invitation', '', 'usr_1', now(), now() - interval '1 hour', 'filler' || n, 'read_only' \
         FROM generate_series(1, 500) AS n"
    );
    given.db.sql(&fill).await?;
    given.token(TokenPurpose::Invitation, false).await?;
    given.token(TokenPurpose::Invitation, true).await?;
    let left = format!("SELECT count(*) FROM {schema}.one_time_tokens WHERE email LIKE 'filler%'");
    assert_eq!(given.db.value(&left).await?, "300");
    Ok(())
}

#[tokio::test]
async fn a_sign_up_is_confirmed_once_and_in_time() -> Result<()> {
    let given = Given::new().await?;
    let slug = "acme-two".parse()?;
    let works = async |minutes: i64, mac: [u8; 32]| {
        let at = SystemClock.now();
        let new = NewSignUp {
            id: OneTimeTokenId::mint(at),
            slug: &slug,
            name: "Acme",
            email: "grace@example.com",
            password_hash: "hash",
            mac: &MAC,
            at,
            expires_at: at + TimeDelta::minutes(minutes),
        };
        let try_it = async |tx: &mut PlatformTx| {
            sign_ups::insert(tx, &new).await?;
            let found = sign_ups::find(tx, new.id, &mac).await?.is_some();
            let mailed = sign_ups::find_to_mail(tx, new.id).await?.is_some();
            let spent = sign_ups::spend(tx, new.id, &mac).await?.is_some();
            Ok([found, mailed, spent, sign_ups::spend(tx, new.id, &mac).await?.is_some()])
        };
        given
            .db
            .db()?
            .platform_write::<_, DbError>(Authority::logins(), try_it)
            .await
            .map_err(anyhow::Error::from)
    };
    assert_eq!(works(1, MAC).await?, [true, true, true, false]);
    assert_eq!(works(1, ANOTHER).await?, [false, true, false, false]);
    assert_eq!(works(-1, MAC).await?, [false; 4]);
    Ok(())
}
