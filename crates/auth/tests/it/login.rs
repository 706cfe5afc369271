//! Logging in: what it tells to whom, and what it costs.

use std::time::Duration;

use anyhow::Result;
use bulkhead_auth::{AuthError, Bounds, Caller, LoginAttempt, attempts::LONGEST_WAIT};
use bulkhead_db::{Db, DbError, Pool, PoolOptions, Shares, platform::tenants::DirectoryEntry, tenant::roles};
use bulkhead_domain::{PlanName, api_key::ApiKey};
use bulkhead_fixtures::{Login, OWNER_PASSWORD, TestDb, TestTenant, timeouts};
use chrono::TimeDelta;
use futures::future::join_all;
use tokio::task::LocalSet;

use crate::{
    node::{HERE, Node, REQUEST, WAITING, until},
    wire::{Passed, watched},
};

fn passed(all: &[Passed; 2]) -> [u32; 2] {
    [all[0].take(), all[1].take()]
}

/// An operator whose password is that of the tenant's owner.
async fn add_operator(db: &TestDb, tenant: &TestTenant) -> Result<()> {
    let hash = db.value(&format!("SELECT password_hash FROM {}.users", tenant.schema())).await?;
    db.sql(&format!(
        "INSERT INTO platform.operators VALUES (gen_random_uuid(), 'op@example.com', '{hash}', 'admin', now())"
    ))
    .await?;
    Ok(())
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn every_failed_login_asks_the_same_queries() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let other = db.create_tenant("zeppelin", PlanName::FREE).await?;
        let closed = db.create_tenant("closed", PlanName::FREE).await?;
        let building = db.sign_up("building", PlanName::FREE).await?;
        db.sql(&format!(
            "UPDATE platform.tenants SET status = 'suspended' WHERE id = '{}'",
            closed.id.uuid()
        ))
        .await?;
        add_operator(&db, &tenant).await?;
        let (own, counts) = watched(&db).await?;
        let node = Node::with(own, Bounds::default()).await?;
        let long = "x".repeat(100_000);
        let owner = tenant.owner_email.as_str();
        let attempts = [
            ("acme", owner, "a wrong password"),
            ("acme", owner, "short"),
            ("acme", owner, long.as_str()),
            ("acme", "nobody@example.com", OWNER_PASSWORD),
            ("acme", "no address", OWNER_PASSWORD),
            ("acme", "nul\0@example.com", OWNER_PASSWORD),
            ("acme", other.owner_email.as_str(), OWNER_PASSWORD),
            ("closed", closed.owner_email.as_str(), "a wrong password"),
            ("building", building.owner_email.as_str(), OWNER_PASSWORD),
            ("unknown", owner, OWNER_PASSWORD),
            ("zzz-behind-all-others", owner, OWNER_PASSWORD),
            ("", owner, OWNER_PASSWORD),
            ("Not a slug; --", owner, OWNER_PASSWORD),
            (&long, &long, &long),
        ];
        let fail = async |(slug, email, password)| {
            let refused = node.try_login(Some(slug), email, password).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{slug} {email}: {refused:?}");
        };
        // Each connection has prepared what it needs after some.
        for attempt in attempts.into_iter().take(6).chain(attempts.into_iter().rev().take(3)) {
            fail(attempt).await;
        }
        // What the audit log says of accounts that exist is written behind the answer: as much again, once.
        let exists = |slug: &str, email: &str| {
            [("acme", owner), ("closed", closed.owner_email.as_str())].contains(&(slug, email))
        };
        let mut noted = 3;
        until_noted(&db, noted).await?;
        passed(&counts);
        for attempt in attempts {
            fail(attempt).await;
            // BEGIN, the look-up, and the end of the transaction, at the directory and in a tenant's schema.
            let is_noted = exists(attempt.0, attempt.1);
            noted += u32::from(is_noted);
            until_noted(&db, noted).await?;
            assert_eq!(passed(&counts), [if is_noted { 6 } else { 3 }, 3], "{} {}", attempt.0, attempt.1);
        }
        // Operators: one look-up, whatever is sent.
        for (email, password) in [
            ("nobody@example.com", OWNER_PASSWORD),
            ("no address", OWNER_PASSWORD),
            ("a@b", "short"),
            ("op@example.com", "a wrong password"),
            ("op@example.com", "short"),
        ] {
            let refused = node.try_login(None, email, password).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{email}: {refused:?}");
            let is_noted = email == "op@example.com";
            noted += u32::from(is_noted);
            until_noted(&db, noted).await?;
            assert_eq!(passed(&counts), [0, if is_noted { 6 } else { 3 }], "{email}");
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Waits until the audit logs tell of so many failed log-ins, and until what has written the last of them is over.
async fn until_noted(db: &TestDb, noted: u32) -> Result<()> {
    let logs = db.value(
        "SELECT string_agg(format('SELECT action FROM %s.audit_log', nspname), ' UNION ALL ') FROM pg_namespace \
         WHERE nspname = 'platform' OR nspname IN (SELECT role_name FROM platform.tenants)",
    );
    let count = format!("SELECT count(*) FROM ({}) l WHERE action = 'login_failed'", logs.await?);
    until(db, &count, &noted.to_string()).await
}

/// The answer does not wait for what the audit log says, which would tell that there is such an account.
#[tokio::test]
async fn a_failed_login_is_answered_before_it_is_in_the_audit_log() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let lock = db.session(Login::Admin).await?;
        lock.batch_execute(&format!("BEGIN; LOCK TABLE {}.audit_log", tenant.schema())).await?;
        let refused = node.try_login(Some("acme"), &tenant.owner_email, "a wrong password").await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        lock.batch_execute("COMMIT").await?;
        until_noted(&db, 1).await?;
        let entry = format!(
            "SELECT concat_ws(' ', actor, target, request_id, address, changes) FROM {}.audit_log \
             WHERE action = 'login_failed'",
            tenant.schema()
        );
        assert_eq!(db.value(&entry).await?, format!("anonymous {} req_test 192.0.2.1 {{}}", tenant.owner_id));
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A program that goes on with a key that was revoked guesses nothing, and is not looked up each time.
#[tokio::test]
async fn a_key_that_has_lapsed_is_no_guess_and_looked_up_once() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let (own, counts) = watched(&db).await?;
        let node = Node::with(own, Bounds::default()).await?;
        let (id, key) = node.key(&tenant).await?;
        node.let_in(&key).await?;
        node.revoke_key(&tenant, id).await?;
        node.read().await?;
        let refused = node.let_in(&key).await;
        assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        passed(&counts);
        for _ in 0..10 {
            let refused = node.let_in(&key).await;
            assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        }
        assert_eq!(passed(&counts), [0, 0]);
        // One with another secret is a guess, each time.
        let guess = ApiKey::issue("test", tenant.id, id, || 7).reveal().to_owned();
        for _ in 0..3 {
            let refused = node.let_in(&guess).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A tenant is deleted, and kept for a while: what its people and programs go on using was good once. What is no key of it
/// is a guess there as anywhere, also when there is nothing left to compare it with.
#[tokio::test]
async fn what_a_deleted_tenant_has_left_behind_is_no_guess() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let tokens = node.log_in(&tenant).await?;
        let (id, key) = node.key(&tenant).await?;
        let guess = ApiKey::issue("test", tenant.id, id, || 7).reveal().to_owned();
        db.sql("UPDATE platform.tenants SET status = 'deleted', deleted_at = now(), purge_after = now(), restore_to = 'active'").await?;
        for _ in 0..2 {
            for good_once in [&key, &tokens.access.text] {
                let refused = node.let_in(good_once).await;
                assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
            }
            let refused = node.refresh(tokens.refresh.reveal()).await;
            assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
            let refused = node.log_out(tokens.refresh.reveal()).await;
            assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
            let reported = node.authenticator.recognise_leaked(&node.db, &key, || Ok(()), node.now()).await;
            assert!(matches!(reported, Err(AuthError::Lapsed)), "{reported:?}");
        }
        let refused = node.let_in(&guess).await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        let schema = tenant.schema();
        db.sql(&format!("DROP SCHEMA {schema} CASCADE; DROP OWNED BY {schema}; DROP ROLE {schema}")).await?;
        let refused = node.let_in(&guess).await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A tenant that is being built has no keys, and nothing to look for them in.
#[tokio::test]
async fn a_key_of_a_tenant_that_is_being_built_is_no_good() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let building = db.sign_up("building", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let (id, _) = node.key(&tenant).await?;
        let guess = ApiKey::issue("test", building.id, id, || 7).reveal().to_owned();
        let refused = node.let_in(&guess).await;
        assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Neither with the token in force nor with the one before, which is answered again as long as its session lives.
#[tokio::test]
async fn a_session_whose_time_is_over_is_not_refreshed() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        add_operator(&db, &tenant).await?;
        let node = Node::on(&db).await?;
        for (slug, email, table) in [
            (Some("acme"), tenant.owner_email.as_str(), format!("{}.sessions", tenant.schema())),
            (None, "op@example.com", "platform.operator_sessions".to_owned()),
        ] {
            let first = node.try_login(slug, email, OWNER_PASSWORD).await?;
            let next = node.refresh(first.refresh.reveal()).await?;
            node.refresh(first.refresh.reveal()).await?;
            db.sql(&format!("UPDATE {table} SET expires_at = now()")).await?;
            for token in [&first.refresh, &next.refresh] {
                let refused = node.refresh(token.reveal()).await;
                assert!(matches!(refused, Err(AuthError::Lapsed)), "{table}: {refused:?}");
            }
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A program that goes on with the refresh token of a session that has ended is answered from memory.
#[tokio::test]
async fn a_dead_refresh_token_is_no_guess_and_looked_up_once() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let (own, counts) = watched(&db).await?;
        let node = Node::with(own, Bounds::default()).await?;
        let tokens = node.log_in(&tenant).await?;
        node.log_out(tokens.refresh.reveal()).await?;
        for number in 0..3 {
            passed(&counts);
            let refused = node.refresh(tokens.refresh.reveal()).await;
            assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
            assert_eq!(passed(&counts) == [0, 0], number > 0, "{number}");
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Whether an address may have more looked up is asked before, and not for what needs no look-up.
#[tokio::test]
async fn who_may_not_guess_any_more_is_refused_before_the_look_up_and_not_when_none_is_needed() -> Result<()>
{
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let (own, counts) = watched(&db).await?;
        let mut node = Node::with(own, Bounds::default()).await?;
        // From 192.0.2.1.
        let tokens = node.log_in(&tenant).await?;
        let (_, cached) = node.key(&tenant).await?;
        let (_, uncached) = node.key(&tenant).await?;
        node.let_in(&cached).await?;
        let wait = Duration::from_secs(9);
        let let_in = async |node: &Node, credential: &str| {
            let caller = Caller { from: HERE, request_id: "req_1" };
            node.authenticator.authenticate(&node.db, credential, caller, || Err(wait), node.now()).await
        };
        passed(&counts);
        // Never seen by this node, signed by us.
        let_in(&node, &tokens.access.text).await?;
        let_in(&node, &cached).await?;
        let refused = let_in(&node, &uncached).await;
        assert!(
            matches!(refused, Err(AuthError::Limited { retry_after }) if retry_after == wait),
            "{refused:?}"
        );
        for nonsense in ["bh_test_nonsense", "nonsense"] {
            let refused = let_in(&node, nonsense).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
            let refused = node.refresh(nonsense).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
            let refused = node.log_out(nonsense).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
        }
        assert_eq!(passed(&counts), [0, 0]);
        // A person who has logged in from here before is no stranger. Another person is, and so is the same one
        // elsewhere.
        let log_in = async |node: &Node, email: &str, number: u8| {
            let attempt = LoginAttempt {
                tenant: Some("acme"),
                email,
                password: OWNER_PASSWORD,
                from: [192, 0, 2, number].into(),
                user_agent: None,
                request: REQUEST,
            };
            let admit = async |_: &DirectoryEntry| Ok(());
            node.authenticator.login(&node.db, &attempt, || Err(wait), admit, node.now()).await
        };
        log_in(&node, &tenant.owner_email, 1).await?;
        passed(&counts);
        for (email, number) in [(tenant.owner_email.as_str(), 2), ("nobody@example.com", 1)] {
            let refused = log_in(&node, email, number).await;
            assert!(
                matches!(refused, Err(AuthError::Limited { retry_after }) if retry_after == wait),
                "{refused:?}"
            );
        }
        assert_eq!(passed(&counts), [0, 0]);
        // Long after what is remembered of it has become too old to answer for the key.
        node.skew = TimeDelta::seconds(66);
        let_in(&node, &cached).await?;
        assert!(passed(&counts)[0] > 0, "it was not looked up anew");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_login_right_after_a_suspension_is_told_so_and_a_wrong_password_is_not() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        // Remembered as in service.
        let tokens = node.log_in(&tenant).await?;
        node.let_in(&tokens.access.text).await?;
        db.sql("UPDATE platform.tenants SET status = 'suspended'").await?;
        let refused = node.log_in(&tenant).await;
        assert!(matches!(refused, Err(AuthError::Suspended(_))), "{refused:?}");
        let wrong = node.try_login(Some("acme"), &tenant.owner_email, "a wrong password").await;
        assert!(matches!(wrong, Err(AuthError::Invalid)), "{wrong:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn an_account_is_guessed_slowly_whether_it_exists_or_not_and_its_owner_comes_back() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let (own, counts) = watched(&db).await?;
        let node = Node::with(own, Bounds::default()).await?;
        // From 192.0.2.1.
        node.log_in(&tenant).await?;
        let now = node.now();
        let from = async |slug: &str, email: &str, password: &str, number: u8, now| {
            // The owner has number 1.
            let from = [192, 0, 2, number].into();
            let attempt = LoginAttempt {
                tenant: Some(slug),
                email,
                password,
                from,
                user_agent: None,
                request: REQUEST,
            };
            let admit = async |_: &DirectoryEntry| Ok(());
            node.authenticator.login(&node.db, &attempt, || Ok(()), admit, now).await
        };
        let accounts = [
            ("acme", tenant.owner_email.as_str()),
            ("acme", "nobody@example.com"),
            ("nowhere", "a@example.com"),
        ];
        for (slug, email) in accounts {
            for number in 2..12 {
                let refused = from(slug, email, "a wrong password", number, now).await;
                assert!(matches!(refused, Err(AuthError::Invalid)), "{slug} {email}: {refused:?}");
            }
            passed(&counts);
            // The right password would be refused, too: what is refused tells nothing.
            let refused = from(slug, email, OWNER_PASSWORD, 99, now).await;
            let Err(AuthError::Limited { retry_after }) = refused else { anyhow::bail!("{refused:?}") };
            assert_eq!(retry_after, Duration::from_secs(1), "{slug} {email}");
            assert_eq!(passed(&counts), [0, 0], "nothing is asked for it");
        }
        // An attacker goes on, each time after the wait.
        let (mut later, mut wait) = (now, Duration::from_secs(1));
        for number in 2..12 {
            later += wait;
            let refused = from("acme", &tenant.owner_email, "a wrong password", number, later).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
            let refused = from("acme", &tenant.owner_email, OWNER_PASSWORD, 99, later).await;
            let Err(AuthError::Limited { retry_after }) = refused else { anyhow::bail!("{refused:?}") };
            assert!(retry_after > wait || wait == LONGEST_WAIT, "{retry_after:?} after {wait:?}");
            wait = retry_after;
        }
        assert_eq!(wait, LONGEST_WAIT);
        // The owner does not notice where they have logged in before, and elsewhere waits no longer than that.
        from("acme", &tenant.owner_email, OWNER_PASSWORD, 1, later).await?;
        from("acme", &tenant.owner_email, OWNER_PASSWORD, 99, later + wait).await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// When the last statement began that waits for a lock. The server does not notice at once that a client has gone.
const LATEST_WAIT: &str = "SELECT coalesce(max(query_start)::text, '') FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// The look-up hangs, and the caller's deadline breaks it off: the reason is the server's slowness, so it counts as no guess.
#[tokio::test]
async fn a_login_that_is_broken_off_because_we_are_slow_is_no_failure() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        for table in ["users", "sessions"] {
            let lock = db.session(Login::Admin).await?;
            lock.batch_execute(&format!("BEGIN; LOCK TABLE {}.{table}", tenant.schema())).await?;
            let mut before = String::new();
            // Before the password is checked, and when it has matched.
            for _ in 0..12 {
                let waits = async {
                    loop {
                        let latest = db.value(LATEST_WAIT).await?;
                        if latest > before {
                            return anyhow::Ok(latest);
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                tokio::select! {
                    _ended = node.log_in(&tenant) => anyhow::bail!("{table}: it did not wait"),
                    latest = waits => before = latest?,
                }
            }
            lock.batch_execute("ROLLBACK").await?;
            node.log_in(&tenant).await?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Strangers name a tenant whose table of people hangs, and then the directory does. They take none of the tenant's
/// connections, and of the platform's none that is kept for those who are known.
#[tokio::test]
async fn look_ups_of_strangers_hold_up_neither_a_tenant_nor_those_who_are_known() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        add_operator(&db, &tenant).await?;
        let pool = |login, connections, shares| {
            anyhow::Ok(Pool::new(
                db.connector(login)?,
                PoolOptions { shares, ..TestDb::pool_options(connections) },
            ))
        };
        // A tenant may have four of its pool, and strangers two of the platform's.
        let own = Db::new(
            pool(Login::Tenant, 8, Shares::HalfPerTenant)?,
            pool(Login::Platform, 5, Shares::PerSide)?,
            timeouts(),
        );
        let node = Node::with(own, Bounds::default()).await?;
        let (_, key) = node.key(&tenant).await?;
        node.let_in(&key).await?;
        let operator = node.try_login(None, "op@example.com", OWNER_PASSWORD).await?;
        let users = format!("{}.users", tenant.schema());
        for (table, strangers) in [(users.as_str(), 4_u8), ("platform.tenants", 2)] {
            let lock = db.session(Login::Admin).await?;
            lock.batch_execute(&format!("BEGIN; LOCK TABLE {table}")).await?;
            let node = &node;
            let guesses = join_all((0..strangers).map(async |number| {
                let email = format!("{number}@example.com");
                let from = [198, 51, 100, number].into();
                let attempt = LoginAttempt {
                    tenant: Some("acme"),
                    email: &email,
                    password: "a guess",
                    from,
                    user_agent: None,
                    request: REQUEST,
                };
                let admit = async |_: &DirectoryEntry| Ok(());
                node.authenticator.login(&node.db, &attempt, || Ok(()), admit, node.now()).await
            }));
            let known = async {
                until(&db, WAITING, &strangers.to_string()).await?;
                if table == users {
                    // What else the tenant asks for. The look-up of a key reads the people, too, who are locked here.
                    let read = async |tx: &mut _| roles::list(tx).await;
                    node.db.read::<_, DbError>(tenant.proven(), read).await?;
                } else {
                    node.refresh(operator.refresh.reveal()).await?;
                }
                assert_eq!(
                    db.value(WAITING).await?,
                    strangers.to_string(),
                    "{table}: it has waited for one of them"
                );
                lock.batch_execute("ROLLBACK").await?;
                anyhow::Ok(())
            };
            let (_, known) = tokio::join!(guesses, known);
            known?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A client that logs in more often than a person does loses its own oldest sessions, and other people lose none.
#[tokio::test]
async fn a_person_has_a_hundred_sessions_and_what_is_over_is_removed() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let own = tenant.schema();
        add_operator(&db, &tenant).await?;
        let node = Node::on(&db).await?;
        let person = [format!("{own}.sessions"), "user_id".to_owned()];
        let operator = ["platform.operator_sessions".to_owned(), "operator_id".to_owned()];
        for ([table, owner], slug, email) in
            [(person, Some("acme"), tenant.owner_email.as_str()), (operator, None, "op@example.com")]
        {
            let first = node.try_login(slug, email, OWNER_PASSWORD).await?;
            node.let_in(&first.access.text).await?;
            let more = |count: u32, revoked: &str, expires: &str| {
                format!(
                    "INSERT INTO {table} (id, {owner}, token_mac, rotated_at, created_at, expires_at, revoked_at) \
                     SELECT gen_random_uuid(), {owner}, token_mac, now(), now(), now() {expires}, {revoked} \
                     FROM {table}, generate_series(1, {count}) WHERE id = '{}'",
                    first.refresh.session.uuid()
                )
            };
            db.sql(&more(99, "NULL", "+ interval '1 day'")).await?;
            db.sql(&more(3, "now() - interval '3 hours'", "+ interval '1 day'")).await?;
            db.sql(&more(3, "NULL", "- interval '1 second'")).await?;
            db.sql(&more(1, "now() - interval '1 hour'", "+ interval '1 day'")).await?;
            let last = node.try_login(slug, email, OWNER_PASSWORD).await?;
            let count = |condition| format!("SELECT count(*) FROM {table} WHERE {condition}");
            assert_eq!(db.value(&count("revoked_at IS NULL")).await?, "100", "{table}");
            // The first one, and the one that was ended an hour ago.
            assert_eq!(db.value(&count("revoked_at IS NOT NULL")).await?, "2", "{table}");
            node.read().await?;
            assert!(node.let_in(&first.access.text).await.is_err(), "{table}");
            assert!(node.refresh(first.refresh.reveal()).await.is_err(), "{table}");
            node.let_in(&last.access.text).await?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A node whose clock goes wrong opens sessions that are as long as any.
#[tokio::test]
async fn how_long_a_session_lives_is_counted_by_the_databases_clock() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::skewed(&db, TimeDelta::seconds(-5)).await?;
        node.log_in(&tenant).await?;
        let life =
            format!("SELECT expires_at - created_at = interval '30 days' FROM {}.sessions", tenant.schema());
        assert_eq!(db.value(&life).await?, "t");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_tenant_at_its_limit_is_told_after_the_password_and_before_a_session() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let tokens = node.log_in(&tenant).await?;
        let wait = Duration::from_secs(7);
        let limit = async |_: &DirectoryEntry| Err(wait);
        let attempt = LoginAttempt {
            tenant: Some("acme"),
            email: &tenant.owner_email,
            password: OWNER_PASSWORD,
            from: [192, 0, 2, 1].into(),
            user_agent: None,
            request: REQUEST,
        };
        let login = node.authenticator.login(&node.db, &attempt, || Ok(()), limit, node.now()).await;
        let refresh =
            node.authenticator.refresh(&node.db, tokens.refresh.reveal(), &REQUEST, limit, node.now()).await;
        for refused in [login, refresh] {
            assert!(
                matches!(refused, Err(AuthError::Limited { retry_after }) if retry_after == wait),
                "{refused:?}"
            );
        }
        assert_eq!(db.value(&format!("SELECT count(*) FROM {}.sessions", tenant.schema())).await?, "1");
        node.refresh(tokens.refresh.reveal()).await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
