//! Whether every tenant is what its row says: built, being built, kept, or gone without a trace.

use super::{Check, Level};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "tenants",
        level: Level::Broken,
        well: "every tenant that was built has its role and its schema",
        sql: "SELECT t.slug || CASE WHEN r.oid IS NULL THEN ' has no role' WHEN n.oid IS NULL THEN ' has no schema'
                                    ELSE ' has no recorded version' END AS offender
            FROM tenants t LEFT JOIN pg_roles r ON r.rolname = t.role_name
            LEFT JOIN pg_namespace n ON n.nspname = t.role_name
            LEFT JOIN tenant_schema_versions v ON v.tenant_id = t.id
            WHERE (r.oid IS NULL OR n.oid IS NULL OR v.tenant_id IS NULL)
              AND (v.tenant_id IS NOT NULL OR NOT EXISTS (SELECT FROM pending_owners p WHERE p.tenant_id = t.id))
              AND NOT EXISTS (SELECT FROM tenant_purges p WHERE p.tenant_id = t.id)",
    },
    Check {
        name: "sign-ups",
        level: Level::Warning,
        well: "every tenant that has signed up is being built",
        // A job that waits for a newer program has no error, and is put off again and again.
        sql: "SELECT format('%s has been waiting since %s: %s', t.slug,
                            to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                            CASE WHEN j.id IS NULL THEN 'no job builds it'
                                 WHEN j.state = 'failed' THEN format('%s has failed: %s', j.id, j.error)
                                 ELSE format('%s is %s, attempt %s of %s', j.id, j.state, j.attempts, j.max_attempts)
                            END) AS offender
            FROM tenants t LEFT JOIN LATERAL (
                SELECT * FROM jobs WHERE tenant_id = t.id AND kind = 'provision_tenant'
                ORDER BY state IN ('queued', 'running') DESC, id DESC LIMIT 1) j ON true
            WHERE t.status = 'provisioning'
              AND (j.state IS DISTINCT FROM 'queued' AND j.state IS DISTINCT FROM 'running'
                   OR t.created_at < now() - interval '15 minutes')
            ORDER BY t.created_at",
    },
    Check {
        name: "purges",
        level: Level::Warning,
        well: "no deleted tenant is kept longer than it should be",
        sql: "SELECT format('%s should be gone since %s: %s', coalesce(p.slug, t.slug),
                            to_char(t.purge_after AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                            CASE WHEN p.tenant_id IS NULL THEN 'its purge has not begun'
                                 WHEN j.id IS NULL THEN format('no job goes on with the step %s', p.step)
                                 WHEN j.state = 'failed' THEN format('step %s, %s has failed: %s', p.step, j.id, j.error)
                                 ELSE format('step %s, %s is %s', p.step, j.id, j.state) END) AS offender
            FROM tenants t LEFT JOIN tenant_purges p ON p.tenant_id = t.id
            LEFT JOIN LATERAL (
                SELECT * FROM jobs WHERE kind = 'purge_tenant' AND starts_with(idempotency_key, t.id::text)
                ORDER BY state IN ('queued', 'running') DESC, id DESC LIMIT 1) j ON true
            WHERE t.status = 'deleted' AND p.finished_at IS NULL
              AND (t.purge_after < now() - interval '1 hour'
                   OR p.tenant_id IS NOT NULL AND j.state IS DISTINCT FROM 'queued' AND j.state IS DISTINCT FROM 'running')
            ORDER BY t.purge_after",
    },
    Check {
        name: "purged tenants",
        level: Level::Broken,
        well: "nothing is left of purged tenants but what is kept for the bill",
        sql: "SELECT format('%s (%s) still has %s', p.slug, p.tenant_id, what) AS offender
            FROM tenant_purges p JOIN tenants t ON t.id = p.tenant_id, LATERAL (
                SELECT 'its schema' AS what WHERE to_regnamespace(t.role_name) IS NOT NULL
                UNION ALL SELECT 'its role' WHERE to_regrole(t.role_name) IS NOT NULL
                UNION ALL SELECT 'a recorded version' FROM tenant_schema_versions WHERE tenant_id = t.id
                UNION ALL SELECT 'a place in the pool' FROM schema_pool WHERE tenant_id = t.id
                UNION ALL SELECT 'a pending owner' FROM pending_owners WHERE tenant_id = t.id
                UNION ALL SELECT 'an identity provider' FROM identity_providers WHERE tenant_id = t.id
                UNION ALL SELECT 'trust in a provider' FROM identity_provider_tenants WHERE tenant_id = t.id
                UNION ALL SELECT count(*) || ' jobs' FROM jobs WHERE tenant_id = t.id HAVING count(*) > 0
                UNION ALL SELECT count(*) || ' revocations'
                    FROM revocations WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000') = t.id HAVING count(*) > 0
                UNION ALL SELECT 'a scaling policy' FROM scaling_policies WHERE tenant_id = t.id
                UNION ALL SELECT 'a scaling state' FROM scaling_states WHERE tenant_id = t.id
                UNION ALL SELECT count(*) || ' scaling decisions' FROM scaling_decisions WHERE tenant_id = t.id HAVING count(*) > 0
                UNION ALL SELECT 'limits of its own' WHERE num_nonnulls(t.requests_per_minute, t.burst) > 0
                UNION ALL SELECT 'the state ' || t.status WHERE t.status <> 'deleted'
            ) AS left_over
            WHERE p.finished_at IS NOT NULL
            UNION ALL
            SELECT format('%s (%s) still has answers to operators', p.slug, p.tenant_id)
            FROM (SELECT DISTINCT 't_' || substr(found[1], 5) AS role_name
                  FROM idempotency_keys, regexp_matches(concat(location, ' ', body), 'ten_[0-9a-z]{26}', 'g') AS found
                 ) answers JOIN tenants t USING (role_name) JOIN tenant_purges p ON p.tenant_id = t.id
            WHERE p.finished_at IS NOT NULL",
    },
    Check {
        name: "schema pool",
        level: Level::Broken,
        well: "every schema that was built ahead is there with its role, and no tenant in service is among them",
        sql: "SELECT s.role_name || CASE WHEN r.oid IS NULL THEN ' has no role' WHEN n.oid IS NULL THEN ' has no schema'
                                         WHEN v.tenant_id IS NOT NULL THEN ' is in service'
                                         WHEN t.id IS NULL THEN ' was taken by nobody' ELSE ' is not marked as taken'
                                    END AS offender
            FROM schema_pool s LEFT JOIN pg_roles r ON r.rolname = s.role_name
            LEFT JOIN pg_namespace n ON n.nspname = s.role_name
            LEFT JOIN tenant_schema_versions v ON v.tenant_id = s.tenant_id
            LEFT JOIN tenants t ON t.id = s.tenant_id
            WHERE r.oid IS NULL OR n.oid IS NULL OR v.tenant_id IS NOT NULL
               OR (t.id IS NULL) <> (s.taken_at IS NULL)",
    },
    Check {
        name: "orphan schemas",
        level: Level::Broken,
        well: "every tenant schema belongs to a tenant, or to the pool",
        sql: "SELECT nspname::text AS offender FROM pg_namespace
            WHERE nspname ~ '^t_[0-9a-z]{26}$' AND NOT EXISTS (SELECT FROM tenants WHERE role_name = nspname)
              AND NOT EXISTS (SELECT FROM schema_pool WHERE role_name = nspname)",
    },
    Check {
        name: "orphan roles",
        level: Level::Broken,
        well: "every tenant role belongs to a tenant or to the pool of this database, or has rights in another",
        sql: "SELECT rolname::text AS offender FROM pg_roles r
            WHERE rolname ~ '^t_[0-9a-z]{26}$' AND NOT EXISTS (SELECT FROM tenants WHERE role_name = rolname)
              AND NOT EXISTS (SELECT FROM schema_pool WHERE role_name = rolname)
              AND NOT EXISTS (
                SELECT FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid
                WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND b.datname <> current_database())",
    },
    Check {
        name: "failed migrations",
        level: Level::Broken,
        well: "no tenant is stuck at a migration that fails",
        sql: "SELECT slug || ': ' || error AS offender FROM tenant_schema_versions JOIN tenants ON id = tenant_id
            WHERE error IS NOT NULL ORDER BY failed_at DESC",
    },
];
