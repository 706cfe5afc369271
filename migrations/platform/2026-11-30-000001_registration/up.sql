-- Tenants that sign themselves up, and how much is sent and made in an hour.

CREATE TABLE sign_ups (
    id uuid PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    -- Of an address there is one: a newer one takes its place.
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    mac bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_ups_expires_at ON sign_ups (expires_at);
COMMENT ON TABLE sign_ups IS 'Tenants to come, until the address of their first owner is confirmed. Deleted when it is, or a day later.';

CREATE TABLE hourly_shares (
    owner uuid PRIMARY KEY,
    hour timestamptz NOT NULL,
    used integer NOT NULL
);
COMMENT ON TABLE hourly_shares IS 'How much of an hourly share is used: the mails of a tenant; with the nil UUID, the sign-ups of all.';

GRANT SELECT, INSERT, UPDATE, DELETE ON sign_ups TO bulkhead_platform_rw;
GRANT SELECT, INSERT, UPDATE ON hourly_shares TO bulkhead_platform_rw;
