DROP TABLE spent_login_states;
DROP TABLE identity_provider_tenants;
DROP TABLE identity_providers;
