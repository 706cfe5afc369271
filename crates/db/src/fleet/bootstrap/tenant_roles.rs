//! Makes and drops the roles of tenants.
//!
//! Owns the creators, which are roles that cannot log in, and the schema `tenant_roles`: its functions `make` and
//! `remove` are the only way to a tenant's role, and hand each name to the one creator it belongs to. Since PostgreSQL
//! 16 a role is administered by the role that made it, and each GRANT looks through all roles that the granting role
//! is a member of. With one creator of 8,000 roles a GRANT takes 66 ms; with many creators each has a part of the
//! roles. Refuses names that are no tenant's.

use super::GRANT_OPTIONS;

/// How many creators there are. A role belongs to the same creator for ever, so this can never change.
const CREATORS: u32 = 64;

/// The creator of the role `name`, as an expression of SQL.
const CREATOR_OF_NAME: &str =
    "'bulkhead_creator_' || to_char(get_byte(sha256(convert_to(name, 'UTF8')), 0) % 64, 'FM00')";

/// The body of a creator's function, which makes the role `name` when it is `wanted` and drops it otherwise. It has
/// few expressions, because a session keeps the plan of each for every creator, and goes through all of them whenever
/// a table changes.
fn creator(version: i32) -> String {
    let (inherits, switches) = if version >= GRANT_OPTIONS {
        (" WITH INHERIT TRUE, SET FALSE", " WITH INHERIT FALSE, SET TRUE")
    } else {
        ("", "")
    };
    format!(
        r"
BEGIN
    IF name !~ '^t_[0-9a-z]{{26}}$' THEN
        RAISE EXCEPTION 'not the name of a tenant''s role: %', name USING ERRCODE = 'invalid_name';
    END IF;
    EXECUTE format(
        CASE WHEN wanted THEN
            'CREATE ROLE %1$I NOLOGIN; GRANT bulkhead_tenants TO %1$I{inherits}; GRANT %1$I TO bulkhead_tenant{switches}'
        ELSE 'DROP ROLE IF EXISTS %1$I' END, name);
END
"
    )
}

fn creators() -> impl Iterator<Item = String> {
    (0..CREATORS).map(|number| format!("bulkhead_creator_{number:02}"))
}

/// The creators themselves, which all databases of a server share, each with its attributes.
pub(super) fn creator_roles() -> impl Iterator<Item = (String, &'static str)> {
    creators().map(|creator| (creator, "NOLOGIN NOINHERIT CREATEROLE NOCREATEDB"))
}

/// What creators may grant. Before PostgreSQL 16 CREATEROLE alone suffices; roles that were made then have no
/// administrator, so a superuser gives them to their creators.
pub(super) fn memberships(version: i32) -> String {
    if version < GRANT_OPTIONS {
        return String::new();
    }
    let creators: Vec<String> = creators().collect();
    format!(
        "GRANT bulkhead_tenants TO {creators} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
DO $$
DECLARE
    orphan record;
BEGIN
    IF current_setting('is_superuser')::bool THEN
        FOR orphan IN
            SELECT name, creator FROM (
                SELECT oid, name, {CREATOR_OF_NAME} AS creator FROM (
                    SELECT oid, rolname::text AS name FROM pg_catalog.pg_roles WHERE rolname ~ '^t_[0-9a-z]{{26}}$'
                ) AS tenant_role
            ) AS owned
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members a
                              WHERE a.roleid = owned.oid AND a.member = creator::regrole AND admin_option)
        LOOP
            EXECUTE format('GRANT %I TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', orphan.name, orphan.creator);
        END LOOP;
    END IF;
END
$$;
",
        creators = creators.join(", ")
    )
}

/// Makes schema and functions in a database, as part of a block of PL/pgSQL that may become `bulkhead_owner`. `switch` is how
/// membership is granted so that a member may switch, `may_switch` the privilege to ask for. Functions that are as they
/// must be are left alone: a copy of a database has them.
pub(super) fn functions(version: i32, switch: &str, may_switch: &str) -> String {
    let dispatch = |function: &str, wanted: bool| {
        format!(
            "CREATE OR REPLACE FUNCTION tenant_roles.{function}(name text) RETURNS void LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp AS $body$
    BEGIN
        EXECUTE format('SELECT tenant_roles.%I($1, {wanted})', {CREATOR_OF_NAME}) USING name;
    END
    $body$;"
        )
    };
    format!(
        "SET LOCAL ROLE bulkhead_owner;
    CREATE SCHEMA IF NOT EXISTS tenant_roles;
    {make}
    {remove}
    RESET ROLE;
    DECLARE
        body constant text := $body${body}$body$;
        creator text;
        joins bool;
    BEGIN
        FOR creator IN
            SELECT 'bulkhead_creator_' || to_char(number, 'FM00') FROM generate_series(0, {CREATORS} - 1) AS number
        LOOP
            CONTINUE WHEN EXISTS (
                SELECT FROM pg_catalog.pg_proc
                WHERE pronamespace = to_regnamespace('tenant_roles') AND proname = creator AND prosrc = body AND prosecdef
                  AND proowner = creator::regrole AND proconfig = ARRAY['search_path=pg_catalog, pg_temp']
                  AND proacl::text[] = ARRAY[creator || '=X/' || creator, 'bulkhead_owner=X/' || creator]);
            joins := NOT pg_has_role(creator, '{may_switch}');
            IF joins THEN
                EXECUTE format('GRANT %I TO CURRENT_USER{switch}', creator);
            END IF;
            SET LOCAL ROLE bulkhead_owner;
            EXECUTE format('GRANT USAGE, CREATE ON SCHEMA tenant_roles TO %I', creator);
            EXECUTE format('SET LOCAL ROLE %I', creator);
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION tenant_roles.%I(name text, wanted bool) RETURNS void LANGUAGE plpgsql '
                'SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L', creator, body);
            EXECUTE format('REVOKE ALL ON FUNCTION tenant_roles.%I FROM PUBLIC', creator);
            EXECUTE format('GRANT EXECUTE ON FUNCTION tenant_roles.%I TO bulkhead_owner', creator);
            SET LOCAL ROLE bulkhead_owner;
            EXECUTE format('REVOKE ALL ON SCHEMA tenant_roles FROM %I', creator);
            RESET ROLE;
            IF joins THEN
                EXECUTE format('REVOKE %I FROM CURRENT_USER', creator);
            END IF;
        END LOOP;
    END;",
        body = creator(version),
        make = dispatch("make", true),
        remove = dispatch("remove", false),
    )
}
