//! What API keys hold, and from where they work: what the rows say now, whatever a node remembers.

use anyhow::Result;
use bulkhead_auth::{AuthError, Authenticated, Bounds};
use bulkhead_db::{
    Db, DbError, Pool,
    gate::revocations::announce_change,
    tenant::api_keys::{self, Grantor, Rotation},
};
use bulkhead_domain::{ApiKeyId, Clock as _, PlanName, RoleName, SystemClock, UserId};
use bulkhead_fixtures::{Login, TestDb, TestTenant, timeouts};
use bulkhead_telemetry::Metrics;
use chrono::TimeDelta;
use tokio::task::LocalSet;

use crate::{
    forger,
    node::{HERE, Node, until},
    own_roles::define,
    stale::transactions,
};

fn held(authenticated: &Authenticated) -> Vec<&'static str> {
    let access = forger::access();
    access.tenants().names(authenticated.principal.role().permissions()).collect()
}

fn of(role: RoleName) -> Vec<&'static str> {
    let access = forger::access();
    access.tenants().names(forger::role(role).permissions()).collect()
}

fn texts(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

/// Two nodes and a tenant.
struct Given {
    db: TestDb,
    nodes: [Node; 2],
    tenant: TestTenant,
}

impl Given {
    async fn new() -> Result<Self> {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let nodes = [Node::on(&db).await?, Node::on(&db).await?];
        Ok(Self { db, nodes, tenant })
    }

    /// A key with this role that somebody has granted.
    async fn key(&self, role: RoleName, grantor: Grantor) -> Result<(ApiKeyId, String)> {
        let bound = |new: &mut api_keys::NewApiKey<'_>| (new.role, new.grantor) = (role, grantor);
        self.nodes[0].key_with(&self.tenant, bound).await
    }

    /// Changes rows as the product does: the tenant is announced to have changed.
    async fn change(&self, sql: &str) -> Result<()> {
        self.db.sql(&sql.replace("tenant.", &format!("{}.", self.tenant.schema()))).await?;
        let announce = async |tx: &mut _| announce_change(tx).await;
        Ok(self.nodes[0].db.write::<_, DbError>(self.tenant.proven(), announce).await?)
    }

    /// On both nodes, once they have read what was announced.
    async fn hold(&self, wanted: &[(&str, &[&str])]) -> Result<()> {
        for node in &self.nodes {
            node.read().await?;
            for (key, wanted) in wanted {
                let found = held(&node.let_in(key).await?);
                anyhow::ensure!(found == *wanted, "{found:?}, not {wanted:?}");
            }
        }
        Ok(())
    }

    /// A person with this role, whose row alone counts here.
    async fn person(&self, role: &str) -> Result<UserId> {
        let id = UserId::mint(SystemClock.now());
        self.db
            .sql(&format!(
                "INSERT INTO {}.users VALUES ('{}', '{id}', 'hash', '{role}', 1, now(), now())",
                self.tenant.schema(),
                id.uuid()
            ))
            .await?;
        Ok(id)
    }
}

#[tokio::test]
async fn a_key_holds_at_most_what_its_maker_holds_now_on_every_node() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let maker = given.person("admin").await?;
        let (_, key) = given.key(RoleName::ADMIN, Grantor::User(maker)).await?;
        let row = format!("UPDATE tenant.users SET role = '{{}}' WHERE id = '{}'", maker.uuid());
        let (admin, developer, reader) =
            (of(RoleName::ADMIN), of(RoleName::DEVELOPER), of(RoleName::READ_ONLY));
        given.hold(&[(&key, &admin)]).await?;
        for (role, wanted) in [
            ("developer", &developer),
            ("read_only", &reader),
            ("admin", &admin),
            ("owner", &admin),
            ("gone_role", &vec![]),
        ] {
            given.change(&row.replace("{}", role)).await?;
            given.hold(&[(&key, wanted)]).await?;
        }
        // The maker's role is the tenant's own, and what it holds changes.
        given.change(&row.replace("{}", "clerk")).await?;
        let clerk = "clerk".parse()?;
        for holds in [&["read:users"][..], &["*:jobs", "read:usage"], &[]] {
            define(&given.nodes[1].db, &given.tenant, clerk, Some(holds)).await?;
            let access = forger::access();
            let wanted: Vec<_> =
                access.tenants().names(access.own_role(clerk, holds).permissions()).collect();
            given.hold(&[(&key, &wanted)]).await?;
        }
        given.change(&format!("DELETE FROM tenant.users WHERE id = '{}'", maker.uuid())).await?;
        given.hold(&[(&key, &[])]).await
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_key_made_by_a_key_is_bounded_by_all_above_it() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let maker = given.person("admin").await?;
        let (first, _) = given.key(RoleName::ADMIN, Grantor::User(maker)).await?;
        let (_, last) = given.key(RoleName::ADMIN, Grantor::Key(first)).await?;
        let admin = of(RoleName::ADMIN);
        given.hold(&[(&last, &admin)]).await?;
        given.change("UPDATE tenant.users SET role = 'developer' WHERE email LIKE 'usr_%'").await?;
        given.hold(&[(&last, &of(RoleName::DEVELOPER))]).await?;
        given.change("UPDATE tenant.users SET role = 'admin' WHERE email LIKE 'usr_%'").await?;
        let row = format!("WHERE id = '{}'", first.uuid());
        for (change, back, wanted) in [
            ("scopes = '{read:users}'", "scopes = NULL", vec!["read:users"]),
            ("role = 'read_only'", "role = 'admin'", of(RoleName::READ_ONLY)),
            ("disabled_at = now()", "disabled_at = NULL", vec![]),
            ("revoked_at = now()", "revoked_at = NULL", vec![]),
            ("expires_at = now()", "expires_at = NULL", vec![]),
        ] {
            given.change(&format!("UPDATE tenant.api_keys SET {change} {row}")).await?;
            given.hold(&[(&last, &wanted)]).await?;
            given.change(&format!("UPDATE tenant.api_keys SET {back} {row}")).await?;
            given.hold(&[(&last, &admin)]).await?;
        }
        given.change(&format!("DELETE FROM tenant.api_keys {row}")).await?;
        given.hold(&[(&last, &[])]).await
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_chain_that_is_too_long_or_has_no_end_holds_nothing() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let owner = Grantor::User(given.tenant.owner_id);
        let (mut above, mut keys) = (owner, Vec::new());
        for _ in 0..=Grantor::DEPTH {
            let (id, key) = given.key(RoleName::READ_ONLY, above).await?;
            above = Grantor::Key(id);
            keys.push((id, key));
        }
        let reader = of(RoleName::READ_ONLY);
        for (at, (_, key)) in keys.iter().enumerate() {
            let wanted: &[&str] = if at < Grantor::DEPTH { &reader } else { &[] };
            given.hold(&[(key, wanted)]).await?;
        }
        // Two keys that have granted each other.
        let [(one, key), (other, _)] = [keys.swap_remove(0), keys.swap_remove(0)];
        given
            .change(&format!(
                "UPDATE tenant.api_keys SET granted_by_user = NULL, granted_by_key = '{}' WHERE id = '{}'",
                other.uuid(),
                one.uuid()
            ))
            .await?;
        given.hold(&[(&key, &[])]).await
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// As a program of the release before makes keys beside a newer one.
#[tokio::test]
async fn a_key_without_a_grantor_answers_to_its_maker() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let maker = given.person("read_only").await?;
        let (above, _) = given.key(RoleName::ADMIN, Grantor::User(maker)).await?;
        for (created_by, wanted) in [
            (given.tenant.owner_id.to_string(), of(RoleName::ADMIN)),
            (maker.to_string(), of(RoleName::READ_ONLY)),
            (above.to_string(), of(RoleName::READ_ONLY)),
            ("bulkhead dev".to_owned(), vec![]),
            (UserId::mint(SystemClock.now()).to_string(), vec![]),
        ] {
            let (id, key) = given.key(RoleName::ADMIN, Grantor::Nobody).await?;
            given
                .change(&format!(
                    "UPDATE tenant.api_keys SET created_by = '{created_by}' WHERE id = '{}'",
                    id.uuid()
                ))
                .await?;
            given.hold(&[(&key, &wanted)]).await?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn scopes_only_narrow() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        for (scopes, wanted) in [
            (&["read:users"][..], &["read:users"][..]),
            (&["read:users", "write:owners", "no:such"], &["read:users"]),
            (&["*:api_keys"], &["read:api_keys", "write:api_keys"]),
            (&["write:owners"], &[]),
            (&["*:*"], &of(RoleName::DEVELOPER)),
        ] {
            let scopes = texts(scopes);
            let (_, key) = given.nodes[0].key_with(&given.tenant, |new| new.scopes = Some(&scopes)).await?;
            given.hold(&[(&key, wanted)]).await?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_key_works_from_its_networks_alone_remembered_or_not() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let ranges = texts(&["192.0.2.0/25", "2001:db8::/32"]);
        let keys = [
            given.nodes[0].key_with(&given.tenant, |new| new.allowed_addresses = Some(&ranges)).await?.1,
            given.nodes[0].key_with(&given.tenant, |new| new.allowed_addresses = Some(&ranges)).await?.1,
        ];
        let inside = ["192.0.2.1", "192.0.2.127", "::ffff:192.0.2.7", "2001:db8:1::1"];
        let outside = ["192.0.2.128", "::ffff:192.0.2.200", "2001:db9::1", "::1", "::192.0.2.1"];
        // One key is first seen from outside, one from inside.
        for (key, outside_first) in keys.iter().zip([true, false]) {
            for round in 0..4 {
                for (addresses, is_inside) in [(&inside[..], true), (&outside[..], false)] {
                    if round == 0 && is_inside == outside_first {
                        continue;
                    }
                    for address in addresses {
                        let found = given.nodes[0].let_in_from(Some(address.parse()?), key).await;
                        assert_eq!(found.is_ok(), is_inside, "{address}");
                        assert!(is_inside || matches!(found, Err(AuthError::Lapsed)), "{found:?}");
                    }
                }
            }
            assert!(given.nodes[0].let_in_from(None, key).await.is_err(), "from nowhere");
        }
        let none = texts(&["not a network"]);
        let (_, shut) =
            given.nodes[0].key_with(&given.tenant, |new| new.allowed_addresses = Some(&none)).await?;
        assert!(given.nodes[0].let_in_from(HERE, &shut).await.is_err(), "a network that cannot be read");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// What was refused is remembered for a minute, and a disabled key can become good again.
#[tokio::test]
async fn a_disabled_key_is_refused_and_works_again_once_it_is_enabled() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let (id, key) = given.key(RoleName::DEVELOPER, Grantor::User(given.tenant.owner_id)).await?;
        let row = format!("WHERE id = '{}'", id.uuid());
        for _ in 0..2 {
            given.hold(&[(&key, &of(RoleName::DEVELOPER))]).await?;
            given.change(&format!("UPDATE tenant.api_keys SET disabled_at = now() {row}")).await?;
            for node in &given.nodes {
                node.read().await?;
                for _ in 0..2 {
                    let refused = node.let_in(&key).await;
                    assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
                }
            }
            given.change(&format!("UPDATE tenant.api_keys SET disabled_at = NULL {row}")).await?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn after_a_rotation_both_secrets_work_until_the_overlap_is_over() -> Result<()> {
    let test = async {
        let mut given = Given::new().await?;
        let (id, old) = given.key(RoleName::DEVELOPER, Grantor::User(given.tenant.owner_id)).await?;
        let rotate = async |node: &Node, seconds| {
            let (key, mac) = bulkhead_auth::api_key::issue(&forger::keyring(), "test", given.tenant.id, id)?;
            let at = SystemClock.now();
            let rotation = Rotation { mac: &mac, previous_until: at + TimeDelta::seconds(seconds), at };
            let rotate = async |tx: &mut _| {
                api_keys::rotate(tx, id, rotation).await?;
                announce_change(tx).await
            };
            node.db.write::<_, DbError>(given.tenant.proven(), rotate).await?;
            anyhow::Ok(key.reveal().to_owned())
        };
        given.nodes[0].let_in(&old).await?;
        let new = rotate(&given.nodes[0], 60).await?;
        for node in &given.nodes {
            node.read().await?;
            for key in [&old, &new] {
                assert_eq!(node.let_in(key).await?.principal.api_key(), Some(id));
            }
        }
        given.nodes[0].skew = TimeDelta::seconds(61);
        given.nodes[0].read().await?;
        assert!(matches!(given.nodes[0].let_in(&old).await, Err(AuthError::Lapsed)));
        given.nodes[0].let_in(&new).await?;
        // Without an overlap the one before is over at once, and the one before that is as good as none.
        let newest = rotate(&given.nodes[1], 0).await?;
        for node in &given.nodes {
            node.read().await?;
            node.let_in(&newest).await?;
            assert!(matches!(node.let_in(&new).await, Err(AuthError::Lapsed)));
            assert!(node.let_in(&old).await.is_err());
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A node remembers a key for a minute, and no longer than until the first of what it stands on comes to its end.
#[tokio::test]
async fn a_remembered_key_ends_with_whatever_ends_first() -> Result<()> {
    let test = async {
        let mut given = Given::new().await?;
        let end = Some(SystemClock.now() + TimeDelta::seconds(30));
        let (_, own) = given.nodes[0].key_with(&given.tenant, |new| new.expires_at = end).await?;
        let (above, _) = given.nodes[0].key_with(&given.tenant, |new| new.expires_at = end).await?;
        let (_, below) = given.key(RoleName::DEVELOPER, Grantor::Key(above)).await?;
        let (rotated, before) = given.key(RoleName::DEVELOPER, Grantor::User(given.tenant.owner_id)).await?;
        let (_, mac) = bulkhead_auth::api_key::issue(&forger::keyring(), "test", given.tenant.id, rotated)?;
        let at = SystemClock.now();
        let rotation = Rotation { mac: &mac, previous_until: at + TimeDelta::seconds(30), at };
        let rotate = async |tx: &mut _| api_keys::rotate(tx, rotated, rotation).await;
        given.nodes[0].db.write::<_, DbError>(given.tenant.proven(), rotate).await?;
        let developer = of(RoleName::DEVELOPER);
        given.hold(&[(&own, &developer), (&below, &developer), (&before, &developer)]).await?;
        for node in &mut given.nodes {
            node.skew = TimeDelta::seconds(31);
            for ended in [&own, &before] {
                let refused = node.let_in(ended).await;
                assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
            }
            assert_eq!(held(&node.let_in(&below).await?), [""; 0]);
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A program of before finds no HMAC of a key that has bounds of which it knows nothing.
#[tokio::test]
async fn what_an_older_program_would_not_enforce_it_cannot_verify() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let (scopes, ranges) = (texts(&["read:users"]), texts(&["192.0.2.0/24"]));
        given.key(RoleName::DEVELOPER, Grantor::User(given.tenant.owner_id)).await?;
        given.nodes[0].key_with(&given.tenant, |new| new.scopes = Some(&scopes)).await?;
        given.nodes[0].key_with(&given.tenant, |new| new.allowed_addresses = Some(&ranges)).await?;
        given.nodes[0].key_with(&given.tenant, |new| new.requests_per_minute = Some(7)).await?;
        let (disabled, _) = given.nodes[0].key(&given.tenant).await?;
        let disable = async |tx: &mut _| api_keys::disable(tx, &[disabled], SystemClock.now()).await;
        given.nodes[0].db.write::<_, DbError>(given.tenant.proven(), disable).await?;
        let lengths = format!(
            "SELECT string_agg(length(mac)::text, ' ' ORDER BY id) FROM {}.api_keys",
            given.tenant.schema()
        );
        assert_eq!(given.db.value(&lengths).await?, "32 0 0 0 0");
        // Another secret changes nothing about that.
        let (scoped, _) = given.nodes[0].key_with(&given.tenant, |new| new.scopes = Some(&scopes)).await?;
        let (key, mac) = bulkhead_auth::api_key::issue(&forger::keyring(), "test", given.tenant.id, scoped)?;
        let at = SystemClock.now();
        let rotate = async |tx: &mut _| {
            api_keys::rotate(tx, scoped, Rotation { mac: &mac, previous_until: at, at }).await
        };
        given.nodes[0].db.write::<_, DbError>(given.tenant.proven(), rotate).await?;
        assert_eq!(given.db.value(&lengths).await?, "32 0 0 0 0 0");
        given.hold(&[(key.reveal(), &["read:users"])]).await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Of nodes that have seen the same key within a minute one writes it down.
#[tokio::test]
async fn a_use_is_written_down_once_a_minute() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let (id, _) = given.key(RoleName::DEVELOPER, Grantor::User(given.tenant.owner_id)).await?;
        let used = format!("SELECT last_used_at FROM {}.api_keys", given.tenant.schema());
        let first = SystemClock.now();
        let mut seen = Vec::new();
        for seconds in [0, 59, -59, 60] {
            let uses = [(id, first + TimeDelta::seconds(seconds))];
            let note = async |tx: &mut _| api_keys::note_uses(tx, &uses).await;
            given.nodes[0].db.write::<_, DbError>(given.tenant.proven(), note).await?;
            seen.push(given.db.value(&used).await?);
        }
        assert!(seen[0] == seen[1] && seen[1] == seen[2] && seen[2] < seen[3], "{seen:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A request with a remembered key asks the database nothing, however the key is bounded.
#[tokio::test]
async fn a_remembered_key_costs_no_query_and_a_use_is_noted_once_a_minute() -> Result<()> {
    let test = async {
        let given = Given::new().await?;
        let metrics = Metrics::new()?;
        let pool = |login, name| {
            let options = TestDb::pool_options(4);
            anyhow::Ok(Pool::measured(given.db.connector(login)?, options, metrics.database.pool(name)))
        };
        let own = Db::new(pool(Login::Tenant, "tenant")?, pool(Login::Platform, "platform")?, timeouts());
        let node = Node::with(own, Bounds::default()).await?;
        define(&given.nodes[0].db, &given.tenant, "clerk".parse()?, Some(&["read:users", "read:jobs"]))
            .await?;
        node.read().await?;
        let (scopes, ranges) = (texts(&["read:users"]), texts(&["192.0.2.0/24"]));
        let (above, _) = given.key("clerk".parse()?, Grantor::User(given.tenant.owner_id)).await?;
        let bound = |new: &mut api_keys::NewApiKey<'_>| {
            (new.role, new.grantor) = ("clerk".parse().unwrap(), Grantor::Key(above));
        };
        let (_, key) = given.nodes[0].key_with(&given.tenant, bound).await?;
        given.change(&format!("UPDATE tenant.api_keys SET scopes = '{{{}}}', allowed_addresses = '{{{}}}' WHERE granted_by_key IS NOT NULL", scopes[0], ranges[0])).await?;
        node.read().await?;
        assert_eq!(held(&node.let_in(&key).await?), ["read:users"]);
        let spent = || (transactions(&metrics, "platform"), transactions(&metrics, "tenant"));
        let before = spent();
        for _ in 0..100 {
            assert_eq!(held(&node.let_in(&key).await?), ["read:users"]);
        }
        assert_eq!(spent(), before);

        assert_eq!(node.authenticator.write_key_uses(&node.db).await, 1);
        let schema = given.tenant.schema();
        let noted = format!("SELECT count(*) FROM {schema}.api_keys WHERE last_used_at IS NOT NULL");
        until(&given.db, &noted, "1").await?;
        // Another node that looks it up within the minute leaves no note.
        given.nodes[1].read().await?;
        given.nodes[1].let_in(&key).await?;
        assert_eq!(given.nodes[1].authenticator.write_key_uses(&node.db).await, 0);
        let before =
            format!("UPDATE {schema}.api_keys SET last_used_at = last_used_at - interval '61 seconds'");
        given.change(&before).await?;
        given.nodes[1].read().await?;
        given.nodes[1].let_in(&key).await?;
        // A key whose row is held at this moment is left out, and nothing waits for it.
        let holder = given.db.session(Login::Admin).await?;
        holder.batch_execute(&format!("BEGIN; SELECT 1 FROM {schema}.api_keys FOR UPDATE")).await?;
        given.nodes[1].authenticator.write_key_uses(&node.db).await;
        holder.batch_execute("COMMIT").await?;
        let fresh = format!(
            "SELECT count(*) FROM {schema}.api_keys WHERE last_used_at > now() - interval '1 minute'"
        );
        assert_eq!(given.db.value(&fresh).await?, "0");
        // From outside of its networks it is not used.
        given.change("UPDATE tenant.api_keys SET name = name").await?;
        given.nodes[0].read().await?;
        assert!(given.nodes[0].let_in_from(Some("198.51.100.1".parse()?), &key).await.is_err());
        assert_eq!(given.nodes[0].authenticator.write_key_uses(&node.db).await, 0);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
