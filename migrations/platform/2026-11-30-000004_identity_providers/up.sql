-- Issuers of others, whose tokens are taken and whose log-ins count.

CREATE TABLE identity_providers (
    id uuid PRIMARY KEY,
    tenant_id uuid REFERENCES tenants (id),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    kind text NOT NULL CHECK (kind IN ('oidc', 'cognito')),
    issuer text NOT NULL CHECK (char_length(issuer) <= 1024),
    audience text CHECK (char_length(audience) BETWEEN 1 AND 255),
    client_id text CHECK (char_length(client_id) BETWEEN 1 AND 255),
    sealed_client_secret bytea,
    settings jsonb NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    created_by text NOT NULL,
    -- A token names its issuer and its audience: together they have to lead to one provider.
    CONSTRAINT identity_providers_audience UNIQUE (issuer, audience)
);
CREATE INDEX identity_providers_tenant ON identity_providers (tenant_id);
COMMENT ON COLUMN identity_providers.tenant_id IS
    'Whose people the issuer vouches for; null for one of the platform, whose tokens name the tenant.';
COMMENT ON COLUMN identity_providers.audience IS
    'What access tokens must be for (of Cognito: the client), to be taken as they are; null when none are taken.';
COMMENT ON COLUMN identity_providers.client_id IS 'Who we are at the issuer where people log in; null when nobody does.';
COMMENT ON COLUMN identity_providers.settings IS
    'Where keys are when not where the issuer says, and what its people become. A program leaves out what it does not know.';

CREATE TABLE identity_provider_tenants (
    provider_id uuid NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    default_role text NOT NULL,
    max_role text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    PRIMARY KEY (provider_id, tenant_id)
);
CREATE INDEX identity_provider_tenants_tenant ON identity_provider_tenants (tenant_id);
COMMENT ON TABLE identity_provider_tenants IS
    'Tenants that take what a provider of the platform says of their people, each with what such people get there at most.';

CREATE TABLE spent_login_states (
    id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_login_states_expires_at ON spent_login_states (expires_at);
COMMENT ON TABLE spent_login_states IS
    'Log-ins at an issuer that came back: each counts once. One that has expired is refused by its own text.';

GRANT SELECT, INSERT, UPDATE, DELETE ON identity_providers TO bulkhead_platform_rw;
GRANT SELECT ON identity_provider_tenants TO bulkhead_platform_rw;
GRANT SELECT, INSERT, UPDATE, DELETE ON spent_login_states TO bulkhead_platform_rw;
