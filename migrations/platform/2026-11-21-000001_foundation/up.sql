-- The platform's own tables. Owned by bulkhead_owner; reached through bulkhead_platform_rw with the grants at the end.

CREATE TABLE plans (
    name text PRIMARY KEY,
    requests_per_minute integer NOT NULL CHECK (requests_per_minute > 0),
    burst integer NOT NULL CHECK (burst > 0)
);
COMMENT ON TABLE plans IS 'What can be bought, and the request limit that comes with it.';
INSERT INTO plans (name, requests_per_minute, burst)
VALUES ('free', 100, 100), ('pro', 1000, 1000), ('enterprise', 10000, 10000);

CREATE TABLE databases (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,30}$')
);
COMMENT ON TABLE databases IS 'The databases that tenants may live in. control is the one that holds this table.';
INSERT INTO databases (name) VALUES ('control');

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z][a-z0-9-]{1,38}[a-z0-9]$'),
    name text NOT NULL,
    role_name text NOT NULL UNIQUE CHECK (role_name ~ '^t_[0-9a-z]{26}$'),
    status text NOT NULL CHECK (status IN ('provisioning', 'active', 'suspended', 'deleted')),
    plan text NOT NULL REFERENCES plans (name),
    database text NOT NULL DEFAULT 'control' REFERENCES databases (name),
    requests_per_minute integer CHECK (requests_per_minute > 0),
    burst integer CHECK (burst > 0),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX tenants_plan ON tenants (plan);
CREATE INDEX tenants_database ON tenants (database);
COMMENT ON COLUMN tenants.role_name IS 'Name of the tenant''s role and of its schema; derived from the id.';
COMMENT ON COLUMN tenants.requests_per_minute IS 'Overrides the plan when set.';

CREATE TABLE pending_owners (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    email text NOT NULL,
    password_hash text NOT NULL
);
COMMENT ON TABLE pending_owners IS
    'First owners of tenants whose schema is not built yet; the row is deleted by the transaction that builds it.';

CREATE TABLE tenant_schema_versions (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    version text NOT NULL,
    migrated_at timestamptz NOT NULL,
    error text,
    failed_at timestamptz
);
CREATE INDEX tenant_schema_versions_version ON tenant_schema_versions (version);
COMMENT ON TABLE tenant_schema_versions IS
    'The newest tenant migration that each schema has, and why the next one failed if it did.';

CREATE TABLE operators (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('admin', 'support', 'billing')),
    created_at timestamptz NOT NULL
);

CREATE TABLE operator_sessions (
    id uuid PRIMARY KEY,
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    token_mac bytea NOT NULL,
    previous_mac bytea,
    rotated_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX operator_sessions_operator ON operator_sessions (operator_id);

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('standby', 'active', 'retired')),
    public_jwk jsonb NOT NULL,
    sealed_private bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';
COMMENT ON COLUMN signing_keys.sealed_private IS 'PKCS#8 under AES-256-GCM with a key derived from the master key.';

CREATE TABLE revocations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    tenant_id uuid,
    subject text NOT NULL CHECK (subject IN ('tenant', 'user', 'api_key', 'session', 'operator')),
    subject_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX revocations_xid ON revocations (xid);
CREATE INDEX revocations_at ON revocations (at);
COMMENT ON COLUMN revocations.xid IS
    'Transaction that wrote the row. Readers ask again for everything from the oldest transaction that was still '
    'running when they last looked, so a slow commit is never skipped over.';

CREATE TABLE nodes (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('api', 'worker')),
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);
CREATE INDEX nodes_seen_at ON nodes (seen_at);
COMMENT ON TABLE nodes IS 'Running processes; the API nodes seen lately share every limit while Redis is away.';

CREATE TABLE job_kinds (
    kind text PRIMARY KEY,
    by_tenants boolean NOT NULL
);
COMMENT ON COLUMN job_kinds.by_tenants IS 'Whether a tenant''s transaction may enqueue it, through gate.enqueue_job.';
INSERT INTO job_kinds (kind, by_tenants)
VALUES ('provision_tenant', false), ('aggregate_usage', false), ('decide_scaling', false), ('keep_house', false),
       ('purge_expired', true);

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL REFERENCES job_kinds (kind),
    tenant_id uuid,
    lane text NOT NULL GENERATED ALWAYS AS (coalesce(tenant_id::text, kind)) STORED,
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    run_at timestamptz NOT NULL DEFAULT now(),
    pushed_at timestamptz,
    lease_token uuid,
    leased_until timestamptz,
    recurs_every interval,
    idempotency_key text,
    progress smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    result jsonb,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX jobs_kind ON jobs (kind);
CREATE INDEX jobs_ready ON jobs (lane, run_at, id) WHERE state = 'queued' AND pushed_at IS NULL;
CREATE INDEX jobs_outstanding ON jobs (lane) WHERE pushed_at IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX jobs_running ON jobs (leased_until) WHERE state = 'running';
CREATE INDEX jobs_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_idempotency ON jobs (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), idempotency_key)
    WHERE idempotency_key IS NOT NULL;
COMMENT ON TABLE jobs IS 'The queue''s truth. Redis only carries ids of rows of this table.';
COMMENT ON COLUMN jobs.lane IS 'Who waits in line: the tenant, or the kind of a job of the platform. Lanes take turns.';
COMMENT ON COLUMN jobs.recurs_every IS 'A recurring job is one row, put back into the queue whenever it finishes.';
COMMENT ON COLUMN jobs.pushed_at IS 'When the id was last handed to Redis; cleared when it has to be handed over again.';

CREATE TABLE usage_batches (
    boot uuid PRIMARY KEY,
    node text NOT NULL,
    applied int8multirange NOT NULL DEFAULT '{}',
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX usage_batches_applied_at ON usage_batches (applied_at);
COMMENT ON TABLE usage_batches IS
    'Which batches of each recorder are in the rollups. Numbers without gaps melt into one range: a watermark and its gaps.';

CREATE TABLE usage_batches_rejected (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entry text NOT NULL UNIQUE,
    payload bytea NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE usage_batches_rejected IS 'Stream entries that could not be read; kept for people to look at.';

CREATE TABLE usage_hours (
    tenant_id uuid NOT NULL,
    meter text NOT NULL,
    hour timestamptz NOT NULL,
    quantity numeric NOT NULL,
    PRIMARY KEY (tenant_id, meter, hour)
);

CREATE TABLE usage_days (
    tenant_id uuid NOT NULL,
    meter text NOT NULL,
    day date NOT NULL,
    quantity numeric NOT NULL,
    PRIMARY KEY (tenant_id, meter, day)
);
CREATE INDEX usage_days_day ON usage_days (day);

CREATE TABLE request_minutes (
    tenant_id uuid NOT NULL,
    minute timestamptz NOT NULL,
    route text NOT NULL,
    status_class smallint NOT NULL,
    requests bigint NOT NULL,
    compute_micros bigint NOT NULL,
    ingress_bytes bigint NOT NULL,
    egress_bytes bigint NOT NULL,
    latency bigint[] NOT NULL,
    PRIMARY KEY (tenant_id, minute, route, status_class)
);
CREATE INDEX request_minutes_minute ON request_minutes (minute);
COMMENT ON COLUMN request_minutes.latency IS 'Counts in 24 buckets, each twice as wide as the last, from 64 microseconds.';

CREATE FUNCTION add_counts(a bigint[], b bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[
        coalesce(a[1], 0) + coalesce(b[1], 0), coalesce(a[2], 0) + coalesce(b[2], 0),
        coalesce(a[3], 0) + coalesce(b[3], 0), coalesce(a[4], 0) + coalesce(b[4], 0),
        coalesce(a[5], 0) + coalesce(b[5], 0), coalesce(a[6], 0) + coalesce(b[6], 0),
        coalesce(a[7], 0) + coalesce(b[7], 0), coalesce(a[8], 0) + coalesce(b[8], 0),
        coalesce(a[9], 0) + coalesce(b[9], 0), coalesce(a[10], 0) + coalesce(b[10], 0),
        coalesce(a[11], 0) + coalesce(b[11], 0), coalesce(a[12], 0) + coalesce(b[12], 0),
        coalesce(a[13], 0) + coalesce(b[13], 0), coalesce(a[14], 0) + coalesce(b[14], 0),
        coalesce(a[15], 0) + coalesce(b[15], 0), coalesce(a[16], 0) + coalesce(b[16], 0),
        coalesce(a[17], 0) + coalesce(b[17], 0), coalesce(a[18], 0) + coalesce(b[18], 0),
        coalesce(a[19], 0) + coalesce(b[19], 0), coalesce(a[20], 0) + coalesce(b[20], 0),
        coalesce(a[21], 0) + coalesce(b[21], 0), coalesce(a[22], 0) + coalesce(b[22], 0),
        coalesce(a[23], 0) + coalesce(b[23], 0), coalesce(a[24], 0) + coalesce(b[24], 0)
    ];
COMMENT ON FUNCTION add_counts IS
    'Adds two histograms bucket by bucket. Written out so that it is inlined: many times faster than with unnest.';

CREATE TABLE scaling_policies (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    high_requests_per_minute integer NOT NULL,
    low_requests_per_minute integer NOT NULL,
    high_p95_ms integer NOT NULL,
    low_p95_ms integer NOT NULL,
    min_units integer NOT NULL CHECK (min_units > 0),
    max_units integer NOT NULL,
    cooldown_seconds integer NOT NULL CHECK (cooldown_seconds >= 0),
    CHECK (max_units >= min_units)
);
COMMENT ON TABLE scaling_policies IS 'Tenants that are not watched by the default thresholds.';

CREATE TABLE scaling_states (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    units integer NOT NULL CHECK (units > 0),
    changed_at timestamptz
);

CREATE TABLE scaling_decisions (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    minute timestamptz NOT NULL,
    action text NOT NULL CHECK (action IN ('scale_up', 'scale_down', 'hold')),
    current_units integer NOT NULL,
    target_units integer NOT NULL,
    requests_per_minute double precision NOT NULL,
    p95_ms double precision,
    reason text NOT NULL,
    UNIQUE (tenant_id, minute)
);
CREATE INDEX scaling_decisions_minute ON scaling_decisions (minute);

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    request_id text NOT NULL,
    changes jsonb NOT NULL
);
COMMENT ON TABLE audit_log IS 'What operators and the machinery did. Append only.';

CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    location text,
    body text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, route, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
COMMENT ON COLUMN idempotency_keys.body IS 'The answer to replay; null when it showed a secret, which is not kept.';

GRANT USAGE ON SCHEMA platform TO bulkhead_platform_rw;
GRANT SELECT ON plans, databases, job_kinds, tenant_schema_versions TO bulkhead_platform_rw;
GRANT SELECT, INSERT ON audit_log, usage_batches_rejected TO bulkhead_platform_rw;
GRANT SELECT, INSERT, UPDATE ON tenants, operators, signing_keys, scaling_policies, scaling_states TO bulkhead_platform_rw;
GRANT SELECT, INSERT, UPDATE, DELETE ON operator_sessions, revocations, nodes, jobs, usage_batches, usage_hours,
    usage_days, request_minutes, scaling_decisions, idempotency_keys TO bulkhead_platform_rw;
GRANT INSERT ON pending_owners TO bulkhead_platform_rw;
GRANT EXECUTE ON FUNCTION add_counts TO bulkhead_platform_rw;
