-- People who are on their way in, and what a tenant has set for itself.

ALTER TABLE one_time_tokens
    ADD COLUMN email text,
    ADD COLUMN role text CHECK (role ~ '^[a-z][a-z0-9_]{0,30}$'),
    ADD COLUMN password_hash text;
-- Of one purpose there is one for an address: a newer one takes its place.
CREATE UNIQUE INDEX one_time_tokens_email ON one_time_tokens (purpose, email) WHERE email IS NOT NULL;

CREATE TABLE settings (
    name text PRIMARY KEY,
    value jsonb NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON settings TO :"tenant";
