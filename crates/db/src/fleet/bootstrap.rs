//! What an administrator does once per server and per database, before anything else can work.
//!
//! Owns the login and group roles, their memberships, and the empty schemas of the platform; [`tenant_roles`] owns the
//! roles and functions that make the roles of tenants. Every step may be run again: it repairs what has drifted and
//! changes passwords to those of the configured URLs. The administrator is a superuser, or a role with CREATEROLE and
//! CREATEDB that owns the database (the master user of Amazon RDS). Refuses to tell the server a password: it gets the
//! SCRAM verifier, so its log cannot keep the password either.

use std::time::Duration;

use diesel::{
    QueryableByName,
    sql_types::{Bool, Integer, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::engine::{
    connect::{Connector, Opened},
    error::{DbError, DbResult},
};

mod tenant_roles;

/// The first version whose grants say whether a member inherits and may switch (`WITH INHERIT FALSE, SET TRUE`).
pub(crate) const GRANT_OPTIONS: i32 = 160_000;

/// The oldest version that the product is tested with.
const OLDEST: i32 = 150_000;

/// Where the roles of a server are made: the one database that every server has.
const MAINTENANCE: &str = "postgres";

/// Names the advisory lock that keeps two bootstraps apart.
pub(crate) const LOCK: i64 = 0x6275_6c6b_626f_6f74;

/// All of it together; each step takes milliseconds.
const LIMIT: Duration = Duration::from_mins(2);

/// Three roles that cannot log in, then the three logins, each with its attributes. An attribute that is not named
/// here, such as SUPERUSER, is off for a new role, and only a superuser may name it; `bulkhead doctor` checks it.
const ROLES: [(&str, &str); 6] = [
    ("bulkhead_owner", "NOLOGIN NOINHERIT NOCREATEROLE NOCREATEDB"),
    ("bulkhead_platform_rw", "NOLOGIN NOINHERIT NOCREATEROLE NOCREATEDB"),
    ("bulkhead_tenants", "NOLOGIN NOINHERIT NOCREATEROLE NOCREATEDB"),
    (TENANT_LOGIN, "LOGIN NOINHERIT NOCREATEROLE NOCREATEDB"),
    (PLATFORM_LOGIN, "LOGIN NOINHERIT NOCREATEROLE NOCREATEDB"),
    (PROVISIONER_LOGIN, "LOGIN NOINHERIT NOCREATEROLE NOCREATEDB"),
];

const TENANT_LOGIN: &str = "bulkhead_tenant";
const PLATFORM_LOGIN: &str = "bulkhead_platform";
const PROVISIONER_LOGIN: &str = "bulkhead_provisioner";

/// The three ways the product logs in, as configured.
#[derive(Clone, Copy, Debug)]
pub struct Logins<'a> {
    /// `bulkhead_tenant`.
    pub tenant: &'a Connector,
    /// `bulkhead_platform`.
    pub platform: &'a Connector,
    /// `bulkhead_provisioner`.
    pub provisioner: &'a Connector,
}

impl<'a> Logins<'a> {
    fn named(&self) -> [(&'static str, &'a Connector); 3] {
        [(TENANT_LOGIN, self.tenant), (PLATFORM_LOGIN, self.platform), (PROVISIONER_LOGIN, self.provisioner)]
    }
}

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Bool)]
    has_database: bool,
}

/// Makes the roles, sets the passwords of the logins that have one in their URL, makes the administrator's database if
/// it is missing, and prepares it. Two that run at once wait for each other.
pub async fn bootstrap(admin: &Connector, logins: &Logins<'_>) -> DbResult<()> {
    for (name, login) in logins.named() {
        if login.user() != name {
            let configured = login.user();
            return Err(DbError::Setup(format!("the URL of {name} names the user {configured:?}")));
        }
    }
    within(async {
        let Opened { mut pg, .. } = admin.clone().with_database(MAINTENANCE).connect().await?;
        // Ends with the connection.
        pg.batch_execute(&format!("SET lock_timeout = '60s'; SELECT pg_advisory_lock({LOCK})")).await?;
        let server = server(&mut pg, admin.database()).await?;
        if server.version < OLDEST {
            return Err(DbError::Setup(format!("PostgreSQL {OLDEST} or newer is needed")));
        }
        pg.batch_execute(&roles(server.version, logins)).await?;
        if !server.has_database {
            let database = identifier(admin.database());
            // The C locale sorts the same on every version of every system, so no upgrade can break an index.
            let create = format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
            pg.batch_execute(&create).await?;
        }
        Ok(())
    })
    .await?;
    prepare_database(admin).await
}

/// Closes a database to all roles but the product's and makes its empty schemas. [`bootstrap`] does this to the
/// administrator's database. A further database needs it too, and so does a copy of one: a copy does not inherit the
/// privileges to connect.
pub async fn prepare_database(admin: &Connector) -> DbResult<()> {
    within(async {
        let Opened { mut pg, .. } = admin.connect().await?;
        let server = server(&mut pg, admin.database()).await?;
        Ok(pg.batch_execute(&preparation(server.version, admin.database())).await?)
    })
    .await
}

async fn within(work: impl Future<Output = DbResult<()>>) -> DbResult<()> {
    tokio::time::timeout(LIMIT, work).await.map_err(|_elapsed| DbError::Timeout)?
}

async fn server(pg: &mut AsyncPgConnection, database: &str) -> DbResult<Server> {
    let query = diesel::sql_query(
        "SELECT current_setting('server_version_num')::int AS version, \
         EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1) AS has_database",
    );
    Ok(query.bind::<Text, _>(database).get_result(pg).await?)
}

/// Roles and memberships, which all databases of a server share.
fn roles(version: i32, logins: &Logins<'_>) -> String {
    let mut sql = String::from("BEGIN; SET LOCAL client_min_messages = warning;\n");
    let logins_and_groups = ROLES.map(|(role, attributes)| (role.to_owned(), attributes));
    for (role, attributes) in logins_and_groups.into_iter().chain(tenant_roles::creator_roles()) {
        sql += &format!(
            "DO $$BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role}; END IF; END$$;\n\
             ALTER ROLE {role} {attributes};\n"
        );
    }
    for (role, login) in logins.named() {
        sql += &format!("ALTER ROLE {role} SET search_path = '';\n");
        if let Some(password) = login.password() {
            let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
            sql += &format!("ALTER ROLE {role} PASSWORD {};\n", literal(&verifier));
        }
    }
    // Before there were options, members have NOINHERIT instead.
    let switch = if version >= GRANT_OPTIONS { " WITH INHERIT FALSE, SET TRUE" } else { "" };
    sql += &format!("GRANT bulkhead_platform_rw TO {PLATFORM_LOGIN}{switch};\n");
    sql += &format!("GRANT bulkhead_owner TO {PROVISIONER_LOGIN}{switch};\n");
    sql + &tenant_roles::memberships(version) + "COMMIT"
}

/// What a database needs before the migrations.
fn preparation(version: i32, database: &str) -> String {
    let database = identifier(database);
    let (switch, may_switch) =
        if version >= GRANT_OPTIONS { (" WITH INHERIT FALSE, SET TRUE", "SET") } else { ("", "MEMBER") };
    format!(
        "BEGIN; SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = '60s';
SELECT pg_advisory_xact_lock({LOCK});
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {TENANT_LOGIN}, {PLATFORM_LOGIN}, {PROVISIONER_LOGIN};
GRANT CREATE ON DATABASE {database} TO bulkhead_owner;
DO $$
DECLARE
    large_object_function regprocedure;
    is_superuser bool := current_setting('is_superuser')::bool;
    -- Only who may become the owner can make schemas and default privileges for it.
    joins bool := NOT pg_has_role('bulkhead_owner', '{may_switch}');
BEGIN
    IF to_regnamespace('public') IS NOT NULL THEN
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
    END IF;
    -- Large objects have no schema, so they would be shared between tenants. Their functions belong to the superuser.
    IF is_superuser THEN
        FOR large_object_function IN
            SELECT oid::regprocedure FROM pg_catalog.pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace
              AND (proname LIKE 'lo\\_%' OR proname IN ('loread', 'lowrite'))
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', large_object_function);
        END LOOP;
    END IF;
    IF joins THEN
        GRANT bulkhead_owner TO CURRENT_USER{switch};
    END IF;
    SET LOCAL ROLE bulkhead_owner;
    CREATE SCHEMA IF NOT EXISTS platform;
    CREATE SCHEMA IF NOT EXISTS gate;
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    {tenant_roles}
    IF joins THEN
        REVOKE bulkhead_owner FROM CURRENT_USER;
    END IF;
END
$$;
COMMIT",
        tenant_roles = tenant_roles::functions(version, switch, may_switch)
    )
}

/// A name as SQL reads it.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL reads it, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_lets_nothing_out() {
        assert_eq!(identifier(r#"my"; DROP DATABASE x; --"#), r#""my""; DROP DATABASE x; --""#);
        assert_eq!(literal(r"it's a \ sign"), r"E'it''s a \\ sign'");
    }

    #[test]
    fn the_server_is_told_verifiers_and_never_passwords() -> DbResult<()> {
        let url = |user| {
            Connector::new(&format!("postgres://{user}:hunter2@localhost/db"), None, Duration::from_secs(1))
        };
        let (tenant, platform, provisioner) =
            (url(TENANT_LOGIN)?, url(PLATFORM_LOGIN)?, url(PROVISIONER_LOGIN)?);
        let logins = Logins { tenant: &tenant, platform: &platform, provisioner: &provisioner };
        let sql = roles(GRANT_OPTIONS, &logins);
        assert!(!sql.contains("hunter2"));
        assert_eq!(sql.matches("PASSWORD E'SCRAM-SHA-256$").count(), 3);
        Ok(())
    }
}
