//! The platform's tables. `databases`, `fleet_migrations`, `fleet_target`, `hourly_shares`, `job_kinds`, `schema_pool`, `tenant_audit_log`,
//! `tenant_migrations`, `tenant_schema_target`, `usage_batches`, `usage_counts`, the migrations that a tenant has and the columns
//! by which `jobs` are queued and leased are not here: they are handled in SQL, and `tests/it/schema.rs` lists them.

diesel::table! {
    platform.plans (name) {
        name -> Text,
        requests_per_minute -> Int4,
        burst -> Int4,
        max_users -> Int4,
        max_api_keys -> Int4,
    }
}

diesel::table! {
    platform.tenants (id) {
        id -> Uuid,
        slug -> Text,
        name -> Text,
        role_name -> Text,
        status -> Text,
        plan -> Text,
        database -> Text,
        requests_per_minute -> Nullable<Int4>,
        burst -> Nullable<Int4>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        purge_after -> Nullable<Timestamptz>,
        restore_to -> Nullable<Text>,
        impersonation -> Bool,
    }
}

diesel::table! {
    platform.tenant_purges (tenant_id) {
        tenant_id -> Uuid,
        slug -> Text,
        step -> Text,
        begun_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        receipt -> Jsonb,
    }
}

diesel::table! {
    platform.pending_owners (tenant_id) {
        tenant_id -> Uuid,
        user_id -> Uuid,
        email -> Text,
        password_hash -> Text,
    }
}

diesel::table! {
    platform.sign_ups (id) {
        id -> Uuid,
        slug -> Text,
        name -> Text,
        email -> Text,
        password_hash -> Text,
        mac -> Bytea,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    platform.tenant_schema_versions (tenant_id) {
        tenant_id -> Uuid,
        version -> Text,
        migrated_at -> Timestamptz,
        error -> Nullable<Text>,
        failed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    platform.operators (id) {
        id -> Uuid,
        email -> Text,
        password_hash -> Text,
        role -> Text,
        created_at -> Timestamptz,
        version -> Int8,
        updated_at -> Timestamptz,
        token_mac -> Nullable<Bytea>,
        token_by -> Nullable<Text>,
        token_expires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    platform.operator_roles (name) {
        name -> Text,
        description -> Text,
        permissions -> Array<Text>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        created_by -> Text,
    }
}

diesel::table! {
    platform.operator_keys (id) {
        id -> Uuid,
        operator_id -> Uuid,
        name -> Text,
        hint -> Text,
        mac -> Bytea,
        scopes -> Array<Text>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    platform.second_factors (person_id) {
        person_id -> Uuid,
        sealed_secret -> Bytea,
        confirmed_at -> Nullable<Timestamptz>,
        last_step -> Int8,
        recovery_macs -> Array<Bytea>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    platform.operator_sessions (id) {
        id -> Uuid,
        operator_id -> Uuid,
        token_mac -> Bytea,
        previous_mac -> Nullable<Bytea>,
        rotated_at -> Timestamptz,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
        user_agent -> Nullable<Text>,
        address -> Nullable<Text>,
    }
}

diesel::table! {
    platform.signing_keys (kid) {
        kid -> Text,
        state -> Text,
        public_jwk -> Jsonb,
        sealed_private -> Bytea,
        created_at -> Timestamptz,
        activated_at -> Nullable<Timestamptz>,
        retired_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    platform.root_keys (fingerprint) {
        fingerprint -> Text,
        sealed -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    platform.revocations (id) {
        id -> Uuid,
        xid -> Int8,
        tenant_id -> Nullable<Uuid>,
        subject -> Text,
        subject_id -> Uuid,
        at -> Timestamptz,
    }
}

diesel::table! {
    platform.nodes (id) {
        id -> Uuid,
        name -> Text,
        kind -> Text,
        started_at -> Timestamptz,
        seen_at -> Timestamptz,
    }
}

diesel::table! {
    platform.jobs (id) {
        id -> Uuid,
        kind -> Text,
        tenant_id -> Nullable<Uuid>,
        payload -> Jsonb,
        state -> Text,
        attempts -> Int4,
        max_attempts -> Int4,
        run_at -> Timestamptz,
        progress -> Int2,
        result -> Nullable<Jsonb>,
        error -> Nullable<Text>,
        created_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    platform.usage_batches_rejected (id) {
        id -> Uuid,
        entry -> Text,
        payload -> Bytea,
        reason -> Text,
        at -> Timestamptz,
        authentic -> Bool,
        bytes -> Nullable<Int4>,
        sha256 -> Nullable<Bytea>,
    }
}

diesel::table! {
    platform.meters (name) {
        name -> Text,
        unit -> Text,
        kind -> Text,
    }
}

diesel::table! {
    platform.usage_hours (tenant_id, meter, hour) {
        tenant_id -> Uuid,
        meter -> Text,
        hour -> Timestamptz,
        quantity -> Numeric,
    }
}

diesel::table! {
    platform.usage_days (tenant_id, meter, day) {
        tenant_id -> Uuid,
        meter -> Text,
        day -> Date,
        quantity -> Numeric,
    }
}

diesel::table! {
    platform.request_minutes (tenant_id, minute, route, status_class) {
        tenant_id -> Uuid,
        minute -> Timestamptz,
        route -> Text,
        status_class -> Int2,
        requests -> Int8,
        compute_micros -> Int8,
        ingress_bytes -> Int8,
        egress_bytes -> Int8,
        latency -> Array<Int8>,
    }
}

diesel::table! {
    platform.scaling_policies (tenant_id) {
        tenant_id -> Uuid,
        high_requests_per_minute -> Int4,
        low_requests_per_minute -> Int4,
        high_p95_ms -> Int4,
        low_p95_ms -> Int4,
        min_units -> Int4,
        max_units -> Int4,
        cooldown_seconds -> Int4,
    }
}

diesel::table! {
    platform.scaling_states (tenant_id) {
        tenant_id -> Uuid,
        units -> Int4,
        changed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    platform.scaling_decisions (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        minute -> Timestamptz,
        action -> Text,
        current_units -> Int4,
        target_units -> Int4,
        requests_per_minute -> Float8,
        p95_ms -> Nullable<Float8>,
        reason -> Text,
    }
}

diesel::table! {
    platform.identity_providers (id) {
        id -> Uuid,
        tenant_id -> Nullable<Uuid>,
        name -> Text,
        kind -> Text,
        issuer -> Text,
        audience -> Nullable<Text>,
        client_id -> Nullable<Text>,
        sealed_client_secret -> Nullable<Bytea>,
        settings -> Jsonb,
        enabled -> Bool,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        created_by -> Text,
    }
}

diesel::table! {
    platform.identity_provider_tenants (provider_id, tenant_id) {
        provider_id -> Uuid,
        tenant_id -> Uuid,
        default_role -> Text,
        max_role -> Text,
        created_at -> Timestamptz,
        created_by -> Text,
    }
}

diesel::table! {
    platform.spent_login_states (id) {
        id -> Uuid,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    platform.audit_log (id) {
        id -> Uuid,
        at -> Timestamptz,
        actor -> Text,
        action -> Text,
        target -> Text,
        request_id -> Text,
        changes -> Jsonb,
        act -> Nullable<Text>,
        address -> Nullable<Text>,
    }
}

diesel::table! {
    platform.audit_keys (kid) {
        kid -> Text,
        public_jwk -> Jsonb,
        sealed_private -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    platform.idempotency_keys (principal, route, key) {
        principal -> Text,
        route -> Text,
        key -> Text,
        fingerprint -> Bytea,
        status -> Int2,
        location -> Nullable<Text>,
        body -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::joinable!(tenants -> plans (plan));
diesel::joinable!(operator_sessions -> operators (operator_id));
diesel::joinable!(operator_keys -> operators (operator_id));
diesel::joinable!(tenant_purges -> tenants (tenant_id));
diesel::allow_tables_to_appear_in_same_query!(
    plans,
    tenants,
    tenant_schema_versions,
    tenant_purges,
    scaling_policies,
    scaling_states,
    request_minutes,
    usage_days
);
diesel::allow_tables_to_appear_in_same_query!(usage_days, meters);
diesel::allow_columns_to_appear_in_same_group_by_clause!(usage_days::meter, meters::unit);
diesel::allow_tables_to_appear_in_same_query!(operator_sessions, operators);
diesel::allow_tables_to_appear_in_same_query!(operator_keys, operators);
diesel::allow_tables_to_appear_in_same_query!(identity_providers, identity_provider_tenants);
