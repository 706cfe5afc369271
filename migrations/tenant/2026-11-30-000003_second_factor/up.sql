-- What people log in with beside their password.

CREATE TABLE second_factors (
    person_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed_secret bytea NOT NULL,
    confirmed_at timestamptz,
    -- A code of this time step or before is used up.
    last_step bigint NOT NULL DEFAULT 0,
    recovery_macs bytea[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON second_factors TO :"tenant";
