//! Logging in at another issuer, and its tokens: what does not depend on what the issuer says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bulkhead_auth::{
    AuthError, Caller, Federation, Tokens,
    federation::{LOGIN_LIFETIME, LoginReturn, LoginStart, PasswordLogin, Visitor},
};
use bulkhead_db::{
    DbError, gate,
    identity_providers::{COGNITO, IdentityProvider, OIDC, ProviderSettings},
    platform::tenants::DirectoryEntry,
};
use bulkhead_domain::{IdentityProviderId, PlanName, RoleName};
use bulkhead_fixtures::{TestDb, TestIssuer, TestTenant};
use bulkhead_oidc::{AllowedHosts, Issuers, client};
use chrono::TimeDelta;
use serde_json::json;
use tokio::task::LocalSet;

use crate::node::{HERE, Node, REQUEST, meanwhile};

const BACK: &str = "https://api.example.com/v1/callback";
const AUDIENCE: &str = "https://api.example.com";

struct Given {
    db: TestDb,
    node: Node,
    tenant: TestTenant,
    issuer: TestIssuer,
    provider: IdentityProviderId,
}

/// A tenant with a provider whose people are added.
async fn given() -> Result<Given> {
    given_with(|_| {}).await
}

async fn given_with(change: impl FnOnce(&mut IdentityProvider)) -> Result<Given> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let node = Node::on(&db).await?;
    let issuer = TestIssuer::start()?;
    let client = client(Some(issuer.ca().as_bytes()), true)?;
    let issuers = Issuers::new(client, AllowedHosts::new([issuer.host().as_str()])?, None);
    let authenticator = node.authenticator.with_federation(Federation::new(Arc::new(issuers)));
    let node = Node { authenticator, ..node };
    let at = node.now();
    let mut provider = IdentityProvider {
        id: IdentityProviderId::mint(at),
        tenant: Some(tenant.id),
        name: "A directory".to_owned(),
        kind: OIDC.to_owned(),
        issuer: issuer.issuer(),
        audience: Some(AUDIENCE.to_owned()),
        client_id: Some("bulkhead".to_owned()),
        sealed_client_secret: None,
        settings: ProviderSettings {
            jwks_url: None,
            api_url: None,
            scopes: vec!["openid".to_owned()],
            password_login: false,
            creates_users: true,
            asks_second_factor: false,
            makes_users: false,
            default_role: RoleName::READ_ONLY,
            max_role: RoleName::DEVELOPER,
            role_claim: None,
            role_map: BTreeMap::new(),
        },
        enabled: true,
        version: 1,
        created_at: at,
        updated_at: at,
        created_by: tenant.owner_id.to_string(),
    };
    change(&mut provider);
    let insert = async |tx: &mut _| gate::identity_providers::insert(tx, &provider).await;
    node.db.write::<_, DbError>(tenant.proven(), insert).await?;
    Ok(Given { db, node, tenant, issuer, provider: provider.id })
}

/// What a browser comes back with.
struct Back {
    handle: String,
    code: String,
    state: String,
}

impl Given {
    async fn begin(&self, handle: Option<&str>) -> Result<LoginStart, AuthError> {
        let Node { db, authenticator, .. } = &self.node;
        authenticator.begin_federated_login(db, self.provider, BACK, handle, self.node.now()).await
    }

    async fn logged_in(&self, subject: &str) -> Result<Back> {
        let begun = self.begin(None).await?;
        let claims = json!({ "email": format!("{subject}@example.com"), "email_verified": true });
        let back = self.issuer.log_in(&begun.location, subject, &claims)?;
        let query: BTreeMap<String, String> = back.query_pairs().into_owned().collect();
        let of = |name: &str| query.get(name).cloned().context("a parameter is missing");
        Ok(Back { handle: begun.handle, code: of("code")?, state: of("state")? })
    }

    async fn finish(
        &self,
        back: &Back,
        later: TimeDelta,
        ask: impl FnOnce() -> Result<(), Duration>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
    ) -> Result<Tokens, AuthError> {
        let back = LoginReturn {
            provider: self.provider,
            code: &back.code,
            state: &back.state,
            issuer: None,
            handle: Some(&back.handle),
            redirect_uri: BACK,
            visitor: visitor(),
        };
        let Node { db, authenticator, .. } = &self.node;
        authenticator.finish_federated_login(db, &back, ask, admit, self.node.now() + later).await
    }

    async fn finish_now(&self, back: &Back) -> Result<Tokens, AuthError> {
        self.finish(back, TimeDelta::zero(), || Ok(()), async |_: &_| Ok(())).await
    }

    async fn sessions(&self) -> Result<String> {
        self.db.value(&format!("SELECT count(*) FROM {}.sessions", self.tenant.schema())).await
    }
}

fn visitor() -> Visitor<'static> {
    Visitor { from: HERE.unwrap(), user_agent: None, request: REQUEST }
}

const A_MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_log_in_that_takes_longer_than_it_may_is_over() -> Result<()> {
    let test = async {
        let given = given().await?;
        let back = given.logged_in("grace").await?;
        let late = given.finish(&back, LOGIN_LIFETIME, || Ok(()), async |_: &_| Ok(())).await;
        assert!(matches!(late, Err(AuthError::Lapsed)), "{late:?}");
        assert_eq!(given.issuer.asked("/token"), 0);
        given.finish_now(&back).await?;
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Who asks too often, or whose tenant has used its share up, is told to wait: neither is logged in.
#[tokio::test]
async fn limits_count_for_those_who_come_back() -> Result<()> {
    let test = async {
        let given = given().await?;
        let back = given.logged_in("grace").await?;
        let waits = given.finish(&back, TimeDelta::zero(), || Err(A_MINUTE), async |_: &_| Ok(())).await;
        assert!(matches!(waits, Err(AuthError::Limited { retry_after: A_MINUTE })), "{waits:?}");
        assert_eq!(given.issuer.asked("/token"), 0, "nothing was asked for them");
        let waits = given.finish(&back, TimeDelta::zero(), || Ok(()), async |_: &_| Err(A_MINUTE)).await;
        assert!(matches!(waits, Err(AuthError::Limited { retry_after: A_MINUTE })), "{waits:?}");
        assert_eq!(given.sessions().await?, "0");
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// The look-up is before the session is opened: whoever is unlinked between the two gets none.
#[tokio::test]
async fn who_is_unlinked_meanwhile_is_not_logged_in() -> Result<()> {
    let test = async {
        let given = given().await?;
        let first = given.logged_in("grace").await?;
        given.finish_now(&first).await?;
        let back = given.logged_in("grace").await?;
        let unlink = "UPDATE users SET version = version + 1; DELETE FROM federated_identities";
        let log_in = async { given.finish_now(&back).await.map(drop) };
        let late = meanwhile(&given.db, &given.tenant, unlink, log_in).await?;
        assert!(matches!(late, Err(AuthError::Lapsed)), "{late:?}");
        assert_eq!(given.sessions().await?, "1");
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A browser keeps what it was given before, and nothing that has another form.
#[tokio::test]
async fn a_handle_is_kept_if_it_could_be_one_of_ours() -> Result<()> {
    let test = async {
        let given = given().await?;
        let ours = given.begin(None).await?.handle;
        assert_eq!(given.begin(Some(&ours)).await?.handle, ours);
        for foreign in
            ["", "x", &ours[1..], &format!("{ours}A"), &format!("{};", &ours[1..]), &"A".repeat(4_000)]
        {
            let begun = given.begin(Some(foreign)).await?;
            assert!(begun.handle.len() == 43 && begun.handle != foreign, "{foreign}");
        }
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn what_is_too_long_to_be_a_code_or_a_state_reaches_no_issuer() -> Result<()> {
    let test = async {
        let given = given().await?;
        let good = given.logged_in("grace").await?;
        for (code, state) in [
            (String::new(), good.state.clone()),
            ("c".repeat(2_049), good.state.clone()),
            (good.code.clone(), "A".repeat(2_049)),
            (good.code.clone(), String::new()),
        ] {
            let refused = given.finish_now(&Back { handle: good.handle.clone(), code, state }).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        }
        assert_eq!(given.issuer.asked("/token"), 0);
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A stranger who writes tokens reaches neither the issuer nor the database more often than the limit of their address says.
#[tokio::test]
async fn nothing_is_asked_for_whoever_has_shown_too_many_tokens() -> Result<()> {
    let test = async {
        let given = given().await?;
        let claims = json!({ "email": "grace@example.com", "email_verified": true });
        let token = given.issuer.access_token("grace", AUDIENCE, &claims)?;
        let Node { db, authenticator, .. } = &given.node;
        let caller = Caller { from: HERE, request_id: "req_1" };
        let waits = authenticator.authenticate(db, &token, caller, || Err(A_MINUTE), given.node.now()).await;
        assert!(matches!(waits, Err(AuthError::Limited { retry_after: A_MINUTE })));
        assert_eq!(given.issuer.asked("/keys"), 0);
        given.node.let_in(&token).await?;
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A plan counts people, whoever vouches for them.
#[tokio::test]
async fn an_issuer_adds_nobody_beyond_the_plan() -> Result<()> {
    let test = async {
        let given = given().await?;
        let fill = format!(
            "INSERT INTO {}.users (id, email, password_hash, role, created_at, updated_at) \
             SELECT gen_random_uuid(), 'filler' || n, '', 'read_only', now(), now() \
             FROM generate_series(2, (SELECT max_users FROM platform.plans WHERE name = 'free')) AS n",
            given.tenant.schema()
        );
        given.db.sql(&fill).await?;
        let claims = json!({ "email": "grace@example.com", "email_verified": true });
        let token = given.issuer.access_token("grace", AUDIENCE, &claims)?;
        let refused = given.node.let_in(&token).await.map(drop);
        assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        let back = given.logged_in("grace").await?;
        let refused = given.finish_now(&back).await.map(drop);
        assert!(matches!(refused, Err(AuthError::NotAdmitted)), "{refused:?}");
        given.db.sql(&format!("DELETE FROM {}.users WHERE email = 'filler2'", given.tenant.schema())).await?;
        let new = given.issuer.access_token(
            "grace",
            AUDIENCE,
            &bulkhead_fixtures::issuer::merged(claims, &json!({ "again": 1 })),
        )?;
        given.node.let_in(&new).await?;
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

impl Given {
    async fn show_password(&self, ask: impl FnOnce() -> Result<(), Duration>) -> Result<Tokens, AuthError> {
        let attempt = PasswordLogin {
            provider: self.provider,
            username: "grace",
            password: "a password",
            visitor: visitor(),
        };
        let Node { db, authenticator, .. } = &self.node;
        let now = self.node.now();
        authenticator.federated_password_login(db, &attempt, ask, async |_: &_| Ok(()), now).await
    }
}

/// Passwords are shown to pools alone whose provider says so.
#[tokio::test]
async fn a_password_is_shown_to_no_issuer_that_takes_none() -> Result<()> {
    let test = async {
        for (kind, takes) in [(OIDC, true), (COGNITO, false)] {
            let given = given_with(|provider| {
                provider.kind = kind.to_owned();
                provider.settings.password_login = takes;
            })
            .await?;
            let refused = given.show_password(|| Ok(())).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{kind}: {refused:?}");
            assert_eq!(given.issuer.asked("/"), 0);
        }
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Guesses are counted before a pool is asked: it sees one address, ours.
#[tokio::test]
async fn guesses_at_a_pool_are_counted_here() -> Result<()> {
    let test = async {
        let given = given_with(|provider| {
            provider.kind = COGNITO.to_owned();
            provider.settings.password_login = true;
        })
        .await?;
        let waits = given.show_password(|| Err(A_MINUTE)).await;
        assert!(matches!(waits, Err(AuthError::Limited { retry_after: A_MINUTE })), "{waits:?}");
        assert_eq!(given.issuer.asked("/"), 0);
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
