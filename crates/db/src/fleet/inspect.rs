//! What `bulkhead doctor` asks the database: whether the walls stand as they were built, and whether something waits
//! for a person.
//!
//! Each check is a query for offenders: no row means that all is well. They run in one snapshot, as the owner, and
//! change nothing. Refuses to repair: `bulkhead migrate` and the bootstrap do, and a person decides about the rest.

use diesel::{QueryableByName, sql_types::Text};

use crate::{
    engine::{error::DbResult, scope::Owner},
    fleet::migrate::Sets,
};

mod keys;
mod migrations;
mod providers;
mod room;
mod server;
mod tenants;

pub use keys::master_keys;
pub use providers::{PlatformProvider, identity_providers};
pub use room::connections;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it must be.
    Ok,
    /// Works, but should be seen to.
    Warning,
    /// A promise does not hold.
    Broken,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found; for people.
    pub detail: String,
}

/// A query for offenders.
struct Check {
    name: &'static str,
    /// How bad an offender is.
    level: Level,
    /// What is true when there is none.
    well: &'static str,
    /// Yields `offender`, one row each. Unqualified names are the platform's or the catalog's.
    sql: &'static str,
}

/// How many offenders are named.
const NAMED: usize = 5;

/// Sixty-four creators, 00 to 63, as `bootstrap/tenant_roles.rs` makes them.
const CHECKS: &[Check] = &[
    Check {
        name: "roles",
        level: Level::Broken,
        well: "the product's roles exist and may do no more than they must",
        sql: "SELECT name || CASE WHEN r.oid IS NULL THEN ' is missing' ELSE ' has the wrong attributes' END AS offender
            FROM (VALUES ('bulkhead_owner', false, false), ('bulkhead_platform_rw', false, false),
                         ('bulkhead_tenants', false, false), ('bulkhead_tenant', true, false),
                         ('bulkhead_platform', true, false), ('bulkhead_provisioner', true, false)
                  UNION ALL SELECT 'bulkhead_creator_' || to_char(number, 'FM00'), false, true
                  FROM generate_series(0, 63) AS number
                 ) AS expected (name, logs_in, makes_roles)
            LEFT JOIN pg_roles r ON r.rolname = name
            WHERE r.oid IS NULL OR rolcanlogin <> logs_in OR rolcreaterole <> makes_roles OR rolinherit OR rolsuper
               OR rolbypassrls OR rolcreatedb OR rolreplication",
    },
    Check {
        name: "memberships",
        level: Level::Broken,
        well: "each of the product's roles may become only what it must",
        sql: "SELECT m.rolname || ' is a member of ' || g.rolname AS offender
            FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
            WHERE (m.rolname = 'bulkhead_tenant' AND g.rolname !~ '^t_[0-9a-z]{26}$')
               OR (m.rolname = 'bulkhead_platform' AND g.rolname <> 'bulkhead_platform_rw')
               OR (m.rolname = 'bulkhead_provisioner' AND g.rolname <> 'bulkhead_owner')
               OR (m.rolname ~ '^bulkhead_creator_[0-9]{2}$' AND g.rolname <> 'bulkhead_tenants'
                   AND g.rolname !~ '^t_[0-9a-z]{26}$')
               OR m.rolname IN ('bulkhead_owner', 'bulkhead_platform_rw', 'bulkhead_tenants')
            UNION ALL
            SELECT name || ' is not a member of ' || granted
            FROM (VALUES ('bulkhead_platform', 'bulkhead_platform_rw'), ('bulkhead_provisioner', 'bulkhead_owner'))
                 AS needed (name, granted)
            WHERE NOT EXISTS (SELECT FROM pg_auth_members WHERE member = to_regrole(name) AND roleid = to_regrole(granted))",
    },
    Check {
        name: "default search_path",
        level: Level::Broken,
        well: "the logins see no schema until they switch",
        sql: "SELECT name || ' has a default search_path' AS offender
            FROM unnest(ARRAY['bulkhead_tenant', 'bulkhead_platform', 'bulkhead_provisioner']) AS name
            WHERE NOT EXISTS (
                SELECT FROM pg_db_role_setting s
                WHERE s.setrole = to_regrole(name) AND s.setdatabase = 0 AND 'search_path=\"\"' = ANY (s.setconfig))
            OR EXISTS (
                SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS setting
                WHERE s.setrole = to_regrole(name) AND s.setdatabase <> 0
                  AND setting LIKE 'search_path=%' AND setting <> 'search_path=\"\"')",
    },
    Check {
        name: "public",
        level: Level::Broken,
        well: "the database and the schema public are closed to everybody else",
        sql: "SELECT 'PUBLIC has ' || privilege_type || ' on the schema public' AS offender
            FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
            WHERE nspname = 'public' AND grantee = 0
            UNION ALL
            SELECT 'PUBLIC has ' || privilege_type || ' on the database'
            FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
            WHERE datname = current_database() AND grantee = 0",
    },
    Check {
        name: "large objects",
        level: Level::Warning,
        well: "tenants cannot reach large objects, which no schema holds",
        sql: "SELECT p.oid::regprocedure::text AS offender
            FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner)))
            WHERE pronamespace = 'pg_catalog'::regnamespace AND grantee = 0
              AND (proname LIKE 'lo\\_%' OR proname IN ('loread', 'lowrite'))",
    },
    Check {
        name: "ownership",
        level: Level::Broken,
        well: "bulkhead_owner owns every schema and relation",
        sql: "SELECT nspname || coalesce('.' || relname, '') || ' belongs to ' ||
                   coalesce(relowner, nspowner)::regrole AS offender
            FROM pg_namespace LEFT JOIN pg_class ON relnamespace = pg_namespace.oid AND relkind IN ('r', 'p', 'v', 'm', 'S')
            WHERE (nspname IN ('platform', 'gate', 'tenant_roles') OR starts_with(nspname, 'x_') OR nspname ~ '^t_[0-9a-z]{26}$')
              AND (nspowner <> to_regrole('bulkhead_owner') OR relowner <> to_regrole('bulkhead_owner'))",
    },
    Check {
        name: "tenant login",
        level: Level::Broken,
        well: "bulkhead_tenant reaches nothing without becoming a tenant, and a tenant nothing of the platform",
        sql: "SELECT name || ' reaches ' || relnamespace::regnamespace || '.' || relname AS offender
            FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace, unnest(ARRAY['bulkhead_tenant', 'bulkhead_tenants']) AS name
            WHERE (nspname = 'platform' OR starts_with(nspname, 'x_')) AND relkind IN ('r', 'p', 'v', 'm')
              AND has_table_privilege(name, pg_class.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            UNION ALL
            SELECT name || ' reaches the schema ' || nspname
            FROM pg_namespace, unnest(ARRAY['bulkhead_tenant', 'bulkhead_tenants']) AS name
            WHERE has_schema_privilege(name, pg_namespace.oid, 'USAGE, CREATE')
              AND (nspname IN ('platform', 'public', 'tenant_roles') OR nspname ~ '^t_[0-9a-z]{26}$'
                   OR ((nspname = 'gate' OR starts_with(nspname, 'x_')) AND name = 'bulkhead_tenant'))
            UNION ALL
            SELECT name || ' may make something in the schema ' || nspname
            FROM pg_namespace, unnest(ARRAY['bulkhead_tenant', 'bulkhead_tenants']) AS name
            WHERE (nspname = 'gate' OR starts_with(nspname, 'x_')) AND has_schema_privilege(name, pg_namespace.oid, 'CREATE')",
    },
    Check {
        name: "tenant roles",
        level: Level::Broken,
        well: "tenant roles cannot log in, own nothing and are members of bulkhead_tenants only",
        sql: "WITH known AS (SELECT role_name FROM tenants UNION SELECT role_name FROM schema_pool)
            SELECT rolname || ' has attributes of its own' AS offender FROM pg_roles JOIN known ON role_name = rolname
            WHERE rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR NOT rolinherit
            UNION ALL
            SELECT rolname || ' owns something' FROM pg_roles r JOIN known ON role_name = rolname
            WHERE EXISTS (SELECT FROM pg_shdepend
                          WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND deptype = 'o')
            UNION ALL
            SELECT rolname || ' is a member of ' || coalesce(string_agg(roleid::regrole::text, ', '), 'nothing')
            FROM pg_roles r JOIN known ON role_name = rolname LEFT JOIN pg_auth_members a ON a.member = r.oid
            GROUP BY rolname HAVING coalesce(array_agg(roleid) <> ARRAY[to_regrole('bulkhead_tenants')::oid], true)
            UNION ALL
            SELECT r.rolname || ' is granted to ' || m.rolname
            FROM pg_roles r JOIN known ON role_name = rolname JOIN pg_auth_members a ON a.roleid = r.oid
            JOIN pg_roles m ON m.oid = member
            WHERE m.rolname <> 'bulkhead_tenant' AND m.rolname !~ '^bulkhead_creator_[0-9]{2}$'
            UNION ALL
            SELECT rolname || ' is not granted to bulkhead_tenant' FROM pg_roles r JOIN known ON role_name = rolname
            WHERE NOT EXISTS (SELECT FROM pg_auth_members a
                              WHERE a.roleid = r.oid AND a.member = to_regrole('bulkhead_tenant'))",
    },
    Check {
        name: "role creators",
        level: Level::Broken,
        well: "tenants' roles are made by fenced functions that only bulkhead_owner may call",
        sql: "SELECT format('tenant_roles.%I is missing, or not SECURITY DEFINER with a pinned path of its creator', name)
                     AS offender
            FROM (SELECT 'bulkhead_creator_' || to_char(number, 'FM00') AS name FROM generate_series(0, 63) AS number) AS creator
            LEFT JOIN pg_proc p ON p.oid = to_regprocedure(format('tenant_roles.%I(text, bool)', name))
            WHERE p.oid IS NULL OR NOT prosecdef OR proowner <> to_regrole(name)
               OR proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']
            UNION ALL
            SELECT format('%s of tenant_roles is nobody''s it should be', p.oid::regprocedure)
            FROM pg_proc p
            WHERE pronamespace = to_regnamespace('tenant_roles') AND NOT (
                (proowner = to_regrole('bulkhead_owner') AND NOT prosecdef)
                OR proname = proowner::regrole::text)
            UNION ALL
            SELECT format('%s may be called by %s', p.oid::regprocedure,
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
            FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner)))
            WHERE pronamespace = to_regnamespace('tenant_roles') AND grantee NOT IN (proowner, to_regrole('bulkhead_owner'))
            UNION ALL
            SELECT format('%s has %s on the schema tenant_roles', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                          privilege_type)
            FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
            WHERE nspname = 'tenant_roles' AND grantee <> to_regrole('bulkhead_owner')",
    },
    Check {
        name: "gate",
        level: Level::Broken,
        well: "every function and view of gate and of extensions' schemas is fenced",
        sql: "SELECT p.oid::regprocedure || ' is not SECURITY DEFINER with a pinned path, or not its owner''s' AS offender
            FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
            WHERE (nspname = 'gate' OR starts_with(nspname, 'x_'))
              AND (NOT prosecdef OR proowner <> to_regrole('bulkhead_owner')
                   OR proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp'])
            UNION ALL
            SELECT p.oid::regprocedure || ' may be called by PUBLIC'
            FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace, aclexplode(coalesce(proacl, acldefault('f', proowner)))
            WHERE (nspname IN ('gate', 'platform') OR starts_with(nspname, 'x_')) AND grantee = 0
            UNION ALL
            SELECT p.oid::regprocedure || ' may be called by tenants'
            FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
            WHERE starts_with(nspname, 'x_') AND proname = 'forget' AND has_function_privilege('bulkhead_tenants', p.oid, 'EXECUTE')
            UNION ALL
            SELECT nspname || ' has rows of tenants, and no function forget(uuid, integer) that returns a bigint removes them'
            FROM pg_namespace n
            WHERE starts_with(nspname, 'x_')
              AND EXISTS (SELECT FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
                          WHERE relnamespace = n.oid AND relkind IN ('r', 'p') AND attname = 'tenant_id' AND NOT attisdropped)
              AND NOT EXISTS (SELECT FROM pg_proc
                              WHERE pronamespace = n.oid AND proname = 'forget' AND prorettype = 'bigint'::regtype
                                AND proargtypes = ARRAY['uuid'::regtype::oid, 'integer'::regtype::oid]::oidvector)
            UNION ALL
            SELECT c.oid::regclass || ' is not a security_barrier view'
            FROM pg_class c
            WHERE relnamespace = 'gate'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
              AND NOT (relkind = 'v' AND reloptions && ARRAY['security_barrier=true', 'security_barrier=on', 'security_barrier'])",
    },
    Check {
        name: "failed jobs",
        level: Level::Warning,
        well: "no job has failed for good in the last seven days",
        sql: "SELECT format('%s %s at %s: %s', kind, id, to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), error)
                AS offender
            FROM jobs WHERE state = 'failed' AND finished_at > now() - interval '7 days' ORDER BY finished_at DESC",
    },
    Check {
        name: "rejected usage",
        level: Level::Warning,
        well: "every batch of usage of the last 31 days could be read",
        sql: "SELECT format('%s at %s: %s', id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), reason) AS offender
            FROM usage_batches_rejected WHERE at > now() - interval '31 days' ORDER BY at DESC",
    },
    Check {
        name: "counted usage",
        level: Level::Warning,
        well: "what tenants' transactions have counted is in the rollups within minutes",
        sql: "SELECT format('%s counts wait, the oldest since %s', count(*),
                            to_char(min(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) AS offender
            FROM usage_counts HAVING min(at) < now() - interval '15 minutes'",
    },
    Check {
        name: "signing keys",
        level: Level::Warning,
        well: "one key signs, one is published ahead, and none that was retired is kept too long",
        sql: "SELECT 'no key signs' AS offender
            WHERE EXISTS (SELECT FROM signing_keys) AND NOT EXISTS (SELECT FROM signing_keys WHERE state = 'active')
            UNION ALL
            SELECT 'no key is published ahead' FROM signing_keys
            WHERE state = 'active' AND coalesce(activated_at, created_at) < now() - interval '1 hour'
              AND NOT EXISTS (SELECT FROM signing_keys WHERE state = 'standby')
            UNION ALL
            SELECT kid || ' was retired at ' || to_char(retired_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' and is still there'
            FROM signing_keys WHERE retired_at < now() - interval '3 hours'",
    },
    Check {
        name: "transaction ids",
        level: Level::Warning,
        well: "autovacuum keeps up: no table is half-way to where PostgreSQL stops writing",
        // 2,147 million is the end; autovacuum freezes from 200 million on.
        sql: "SELECT format('%s is %s million back', oid::regclass, age(relfrozenxid) / 1000000) AS offender
            FROM pg_class WHERE relkind IN ('r', 't', 'm') AND age(relfrozenxid) > 1000000000 ORDER BY age(relfrozenxid) DESC",
    },
    Check {
        name: "locks",
        level: Level::Warning,
        well: "the lock table is large enough for migrations of twenty tenants side by side",
        // Four transactions of twenty tenants lock every relation of each; half of the table is left to other
        // transactions.
        sql: "SELECT format('max_locks_per_transaction gives %s locks, migrations may need %s', slots, needed) AS offender
            FROM (SELECT current_setting('max_locks_per_transaction')::int * (
                             current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int
                         ) AS slots,
                         4 * 20 * (SELECT count(*) FROM pg_class WHERE relnamespace = (
                             SELECT n.oid FROM pg_namespace n JOIN tenants ON role_name = nspname LIMIT 1)) AS needed
                 ) AS counted
            WHERE needed * 2 > slots",
    },
];

#[derive(QueryableByName)]
struct Offender {
    #[diesel(sql_type = Text)]
    offender: String,
}

/// Runs every check, for a program with these sets.
pub async fn inspect(owner: &Owner, sets: &Sets) -> DbResult<Vec<Finding>> {
    let language = server::language(owner).await?;
    owner
        .read(async |tx| {
            let mut findings = vec![server::version(tx).await?, language];
            if let Some(finding) = migrations::lacks_tables(tx).await? {
                findings.push(finding);
                return Ok(findings);
            }
            findings.extend(migrations::findings(tx, sets).await?);
            for check in CHECKS.iter().chain(tenants::CHECKS) {
                let offenders = tx.tx.load(diesel::sql_query(check.sql)).await?;
                findings.push(judge(check.name, check.level, check.well, offenders));
            }
            Ok(findings)
        })
        .await
}

fn judge(check: &'static str, level: Level, well: &str, offenders: Vec<Offender>) -> Finding {
    if offenders.is_empty() {
        return Finding { check, level: Level::Ok, detail: well.to_owned() };
    }
    let count = offenders.len();
    let named: Vec<String> = offenders.into_iter().take(NAMED).map(|row| row.offender).collect();
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    Finding { check, level, detail: named.join("; ") + &more }
}
