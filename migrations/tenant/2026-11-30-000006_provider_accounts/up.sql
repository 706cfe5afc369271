-- Accounts of the tenant's people at an identity provider, where people who are made here are made as well. What is to become of one
-- is seen here: with its person it is to be there, without it is to be gone. So no foreign key takes a row away.

CREATE TABLE provider_accounts (
    person_id uuid PRIMARY KEY,
    provider_id uuid NOT NULL,
    -- Under which it is asked for there, as long as its name is not known.
    email text NOT NULL,
    -- What the provider calls it.
    username text,
    -- 'making' from before it is asked for until it is linked: then it may be there, and is ours.
    stage text NOT NULL CHECK (stage IN ('asked', 'making', 'linked')),
    made_here boolean NOT NULL DEFAULT false,
    -- The job that is asking for it, and until when it may be.
    held_by uuid,
    held_until timestamptz,
    created_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON provider_accounts TO :"tenant";
