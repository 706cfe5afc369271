//! The views of `gate`, through which a tenant sees its own part of the platform.

diesel::table! {
    gate.jobs (id) {
        id -> Uuid,
        kind -> Text,
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
    gate.tenant_settings (impersonation) {
        impersonation -> Bool,
    }
}

diesel::table! {
    gate.meters (name) {
        name -> Text,
        unit -> Text,
    }
}

diesel::table! {
    gate.usage_hours (meter, hour) {
        meter -> Text,
        hour -> Timestamptz,
        quantity -> Numeric,
    }
}

diesel::table! {
    gate.usage_days (meter, day) {
        meter -> Text,
        day -> Date,
        quantity -> Numeric,
    }
}

diesel::table! {
    gate.request_minutes (minute, route, status_class) {
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
    gate.scaling_decisions (id) {
        id -> Uuid,
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
    gate.tenant_profile (id) {
        id -> Uuid,
        slug -> Text,
        name -> Text,
        plan -> Text,
        requests_per_minute -> Int4,
        burst -> Int4,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    gate.plan_limits (max_users) {
        max_users -> Int4,
        max_api_keys -> Int4,
    }
}

diesel::allow_tables_to_appear_in_same_query!(usage_hours, meters);
diesel::allow_tables_to_appear_in_same_query!(usage_days, meters);
diesel::allow_columns_to_appear_in_same_group_by_clause!(usage_days::meter, meters::unit);

diesel::table! {
    gate.identity_providers (id) {
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
    gate.identity_provider_tenants (provider_id, tenant_id) {
        provider_id -> Uuid,
        tenant_id -> Uuid,
        default_role -> Text,
        max_role -> Text,
        created_at -> Timestamptz,
        created_by -> Text,
    }
}

diesel::table! {
    gate.shared_identity_providers (id) {
        id -> Uuid,
        name -> Text,
        kind -> Text,
        issuer -> Text,
        enabled -> Bool,
        settings -> Jsonb,
    }
}

diesel::allow_tables_to_appear_in_same_query!(shared_identity_providers, identity_provider_tenants);
