//! A tenant's tables, unqualified: the transaction's search path says which tenant's they are.

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Text,
        password_hash -> Text,
        role -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        token_mac -> Bytea,
        previous_mac -> Nullable<Bytea>,
        rotated_at -> Timestamptz,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
        user_agent -> Nullable<Text>,
        address -> Nullable<Text>,
        factor_at_issuer -> Bool,
    }
}

diesel::table! {
    one_time_tokens (id) {
        id -> Uuid,
        purpose -> Text,
        user_id -> Nullable<Uuid>,
        mac -> Bytea,
        created_by -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        email -> Nullable<Text>,
        role -> Nullable<Text>,
        password_hash -> Nullable<Text>,
    }
}

diesel::table! {
    settings (name) {
        name -> Text,
        value -> Jsonb,
        version -> Int8,
        updated_at -> Timestamptz,
        updated_by -> Text,
    }
}

diesel::table! {
    second_factors (person_id) {
        person_id -> Uuid,
        sealed_secret -> Bytea,
        confirmed_at -> Nullable<Timestamptz>,
        last_step -> Int8,
        recovery_macs -> Array<Bytea>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Uuid,
        name -> Text,
        hint -> Text,
        mac -> Bytea,
        role -> Text,
        created_by -> Text,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        granted_by_user -> Nullable<Uuid>,
        granted_by_key -> Nullable<Uuid>,
        scopes -> Nullable<Array<Text>>,
        allowed_addresses -> Nullable<Array<Text>>,
        requests_per_minute -> Nullable<Int4>,
        guarded_mac -> Nullable<Bytea>,
        previous_mac -> Nullable<Bytea>,
        previous_until -> Nullable<Timestamptz>,
        rotated_at -> Nullable<Timestamptz>,
        disabled_at -> Nullable<Timestamptz>,
        leaked_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        watched_since -> Timestamptz,
    }
}

diesel::table! {
    roles (name) {
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
    federated_identities (id) {
        id -> Uuid,
        provider_id -> Uuid,
        subject -> Text,
        user_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        created_by -> Text,
    }
}

diesel::table! {
    provider_accounts (person_id) {
        person_id -> Uuid,
        provider_id -> Uuid,
        email -> Text,
        username -> Nullable<Text>,
        stage -> Text,
        made_here -> Bool,
        held_by -> Nullable<Uuid>,
        held_until -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    audit_log (id) {
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
    idempotency_keys (principal, route, key) {
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

diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(one_time_tokens -> users (user_id));
diesel::joinable!(federated_identities -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, users);
diesel::allow_tables_to_appear_in_same_query!(one_time_tokens, users);
diesel::allow_tables_to_appear_in_same_query!(federated_identities, users);
diesel::allow_tables_to_appear_in_same_query!(provider_accounts, users);
