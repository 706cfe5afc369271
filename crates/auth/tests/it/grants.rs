//! Giving roles beside demotions, changes of roles and their removal: each is decided by what the database says in its
//! transaction, whichever comes first.

use anyhow::{Context as _, Result};
use bulkhead_auth::{
    GrantError, Principal,
    grants::{Grants, Hold, lock_caller},
};
use bulkhead_db::{
    DbError,
    tenant::{roles, users},
};
use bulkhead_domain::{Clock as _, PlanName, RoleName, SystemClock, UserId, permission};
use bulkhead_fixtures::{Login, TestDb, TestTenant};
use tokio::task::LocalSet;

use crate::{
    forger,
    node::{Node, WAITING, meanwhile, until},
    own_roles::define,
};

struct Given {
    db: TestDb,
    node: Node,
    tenant: TestTenant,
    /// The tenant's owner, who is let in with the role `lead`.
    person: Principal,
    key: Principal,
}

fn name(text: &str) -> RoleName {
    text.parse().unwrap()
}

/// What `lead` holds; `clerk` holds less.
const LEAD: [&str; 4] = ["read:users", "write:users", "read:jobs", "write:api_keys"];

async fn given() -> Result<Given> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let node = Node::on(&db).await?;
    define(&node.db, &tenant, name("lead"), Some(&LEAD)).await?;
    define(&node.db, &tenant, name("clerk"), Some(&["read:users", "read:jobs"])).await?;
    let (_, key) = node.key(&tenant).await?;
    db.sql(&format!(
        "UPDATE {0}.users SET role = 'lead'; UPDATE {0}.api_keys SET role = 'lead'",
        tenant.schema()
    ))
    .await?;
    let tokens = node.log_in(&tenant).await?;
    let person = node.let_in(&tokens.access.text).await?.principal;
    let key = node.let_in(&key).await?.principal;
    Ok(Given { db, node, tenant, person, key })
}

impl Given {
    /// Adds a person with this role in the caller's name, as the API does.
    async fn give(&self, caller: Principal, role: RoleName) -> Result<(), GrantError> {
        let access = forger::access();
        let give = async |tx: &mut _| {
            let own = lock_caller(tx, &caller).await?;
            let grants = Grants::read(tx, &access, own, permission::WRITE_USERS, &[role], Hold::Give).await?;
            grants.may_give(role)?;
            let (id, at) = (UserId::mint(SystemClock.now()), SystemClock.now());
            users::insert(tx, id, &id.to_string(), "hash", role, at).await?;
            Ok(())
        };
        self.node.db.write(self.tenant.proven(), give).await
    }

    /// Gives it while a transaction with this SQL is open, which the grant has to wait for.
    async fn beside(&self, sql: &str, caller: Principal, role: &str) -> Result<Result<(), GrantError>> {
        meanwhile(&self.db, &self.tenant, sql, self.give(caller, name(role))).await
    }

    async fn clerks(&self) -> Result<String> {
        self.db
            .value(&format!("SELECT count(*) FROM {}.users WHERE role = 'clerk'", self.tenant.schema()))
            .await
    }
}

#[tokio::test]
async fn a_grant_inside_an_open_demotion_is_decided_by_the_new_role() -> Result<()> {
    let test = async {
        let given = given().await?;
        given.give(given.person, name("clerk")).await?;
        given.give(given.key, name("clerk")).await?;
        assert_eq!(given.clerks().await?, "2");
        let id = given.tenant.owner_id.uuid();
        for (table, caller) in [("users", given.person), ("api_keys", given.key)] {
            // To a role that gives nothing to anyone, and to one that may give but does not hold what is given.
            let demote = |role: &str| format!("UPDATE {table} SET role = '{role}' WHERE role = 'lead'");
            let refused = given.beside(&demote("read_only"), caller, "clerk").await?;
            assert!(matches!(refused, Err(GrantError::Forbidden(permission::WRITE_USERS))), "{refused:?}");
            let schema = given.tenant.schema();
            given
                .db
                .sql(&format!("UPDATE {schema}.{table} SET role = 'lead' WHERE role = 'read_only'"))
                .await?;
            define(&given.node.db, &given.tenant, name("lower"), Some(&["write:users"])).await?;
            let refused = given.beside(&demote("lower"), caller, "clerk").await?;
            assert!(matches!(refused, Err(GrantError::Beyond { .. })), "{refused:?}");
        }
        for (gone, caller) in [
            ("UPDATE api_keys SET revoked_at = now()".to_owned(), given.key),
            (format!("DELETE FROM users WHERE id = '{id}'"), given.person),
        ] {
            let refused = given.beside(&gone, caller, "clerk").await?;
            assert!(matches!(refused, Err(GrantError::Gone)), "{refused:?}");
        }
        assert_eq!(given.clerks().await?, "2");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A key that was made by a key: all above it counts as its row is when the grant has locked it.
#[tokio::test]
async fn a_grant_by_a_key_is_decided_by_all_above_it() -> Result<()> {
    let test = async {
        let given = given().await?;
        let (schema, own) = (given.tenant.schema(), given.key.api_key().context("a key")?.uuid());
        let clerk = UserId::mint(SystemClock.now());
        let add = format!(
            "INSERT INTO {schema}.users VALUES ('{}', 'clerk@example.com', 'hash', 'clerk', 1, now(), now())",
            clerk.uuid()
        );
        given.db.sql(&add).await?;
        let (above, _) = given.node.key_with(&given.tenant, |new| new.role = name("lead")).await?;
        let above = above.uuid();
        let under = format!("SET granted_by_user = NULL, granted_by_key = '{above}' WHERE id = '{own}'");
        given.db.sql(&format!("UPDATE {schema}.api_keys {under}")).await?;
        given.give(given.key, name("clerk")).await?;
        for (change, back) in [
            ("disabled_at = now()", "disabled_at = NULL"),
            ("revoked_at = now()", "revoked_at = NULL"),
            ("scopes = '{read:users}'", "scopes = NULL"),
            ("role = 'clerk'", "role = 'lead'"),
        ] {
            let change = format!("UPDATE api_keys SET {change} WHERE id = '{above}'");
            let refused = given.beside(&change, given.key, "clerk").await?;
            assert!(
                matches!(refused, Err(GrantError::Forbidden(permission::WRITE_USERS))),
                "{change}: {refused:?}"
            );
            given.db.sql(&format!("UPDATE {schema}.api_keys SET {back} WHERE id = '{above}'")).await?;
        }
        let disable = format!("UPDATE api_keys SET disabled_at = now() WHERE id = '{own}'");
        let refused = given.beside(&disable, given.key, "clerk").await?;
        assert!(matches!(refused, Err(GrantError::Gone)), "{refused:?}");
        given.db.sql(&format!("UPDATE {schema}.api_keys SET disabled_at = NULL")).await?;
        given.give(given.key, name("clerk")).await?;
        // Who answers for the key above is another person by the time it is locked: what was read of the chain is not true any more.
        let regrant =
            format!("UPDATE api_keys SET granted_by_user = '{}' WHERE id = '{above}'", clerk.uuid());
        let refused = given.beside(&regrant, given.key, "clerk").await?;
        assert!(matches!(refused, Err(GrantError::Database(DbError::Conflict))), "{refused:?}");
        let refused = given.give(given.key, name("clerk")).await;
        assert!(matches!(refused, Err(GrantError::Forbidden(permission::WRITE_USERS))), "{refused:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_grant_inside_an_open_change_of_a_role_is_decided_by_what_it_holds_then() -> Result<()> {
    let test = async {
        let given = given().await?;
        let raised = "UPDATE roles SET permissions = '{read:users,write:owners}' WHERE name = 'clerk'";
        let refused = given.beside(raised, given.person, "clerk").await?;
        assert!(
            matches!(&refused, Err(GrantError::Beyond { lacking, .. }) if lacking.to_string() == "write:owners"),
            "{refused:?}"
        );
        // The caller's own role is lowered.
        let schema = given.tenant.schema();
        given
            .db
            .sql(&format!("UPDATE {schema}.roles SET permissions = '{{read:users}}' WHERE name = 'clerk'"))
            .await?;
        let lowered = "UPDATE roles SET permissions = '{read:users}' WHERE name = 'lead'";
        let refused = given.beside(lowered, given.person, "clerk").await?;
        assert!(matches!(refused, Err(GrantError::Forbidden(permission::WRITE_USERS))), "{refused:?}");
        assert_eq!(given.clerks().await?, "0");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_role_that_is_being_removed_is_not_given_and_one_that_is_being_given_is_not_removed() -> Result<()>
{
    let test = async {
        let given = given().await?;
        let refused = given.beside("DELETE FROM roles WHERE name = 'clerk'", given.person, "clerk").await?;
        let told = refused.unwrap_err();
        assert!(matches!(told, GrantError::Unknown(_)), "{told:?}");
        define(&given.node.db, &given.tenant, name("clerk"), Some(&["read:users"])).await?;
        // A grant that is open: the removal waits for it, and then counts.
        let open = given.db.session(Login::Admin).await?;
        let schema = given.tenant.schema();
        // The schema is the test's own tenant's: a name cannot be bound.
        open.batch_execute(&format!(
            "BEGIN; SELECT FROM {schema}.roles WHERE name = 'clerk' FOR SHARE; \
             UPDATE {schema}.users SET role = 'clerk'"
        ))
        .await?;
        let remove = async |tx: &mut _| {
            roles::lock(tx, &[name("clerk")]).await?;
            let holders = roles::holders(tx, name("clerk")).await?;
            if !holders.is_any() {
                roles::delete(tx, name("clerk")).await?;
            }
            Ok(holders)
        };
        let release = async {
            until(&given.db, WAITING, "1").await?;
            open.batch_execute("COMMIT").await?;
            anyhow::Ok(())
        };
        let removed = given.node.db.write::<_, DbError>(given.tenant.proven(), remove);
        let (holders, released) = tokio::join!(removed, release);
        released?;
        assert_eq!(holders?.users, 1);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A person who changes another locks both at once: in two steps, two who change each other would wait for each other.
#[tokio::test]
async fn who_changes_a_person_is_locked_with_them_in_the_order_of_ids() -> Result<()> {
    let test = async {
        let given = given().await?;
        let other = UserId::mint(SystemClock.now());
        let insert = async |tx: &mut _| {
            users::insert(tx, other, "b@example.com", "hash", RoleName::ADMIN, SystemClock.now()).await
        };
        given.node.db.write::<_, DbError>(given.tenant.proven(), insert).await?;
        let owner = given.tenant.owner_id;
        for (changed, by) in [(owner, other), (other, owner)] {
            let open = given.db.session(Login::Admin).await?;
            let schema = given.tenant.schema();
            // The lock waits for the row with the lower id, which this session holds, before it takes the other one.
            // The SQL has a schema and ids that this test has made.
            let first = owner.uuid().min(other.uuid());
            open.batch_execute(&format!("BEGIN; SELECT FROM {schema}.users WHERE id = '{first}' FOR UPDATE"))
                .await?;
            let lock = async |tx: &mut _| users::lock(tx, changed, Some(by)).await;
            let second = owner.uuid().max(other.uuid());
            let release = async {
                until(&given.db, WAITING, "1").await?;
                let free = format!(
                    "SELECT count(*) FROM (SELECT FROM {schema}.users WHERE id = '{second}' FOR UPDATE NOWAIT) f"
                );
                given.db.sql(&free).await?;
                open.batch_execute("COMMIT").await?;
                anyhow::Ok(())
            };
            let locked = given.node.db.write::<_, DbError>(given.tenant.proven(), lock);
            let (locked, released) = tokio::join!(locked, release);
            released?;
            let locked = locked?.map(|locked| (locked.user.id, locked.by));
            let role = if by == other { RoleName::ADMIN } else { name("lead") };
            assert_eq!(locked, Some((changed, Some(role))));
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
