-- Who of an issuer's people is who of ours. One whose person was removed stays: it must not make them anew.

CREATE TABLE federated_identities (
    id uuid PRIMARY KEY,
    provider_id uuid NOT NULL,
    subject text CHECK (char_length(subject) BETWEEN 1 AND 255),
    user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    -- What an account that we keep at the provider is called there, and how far it has come.
    external_name text,
    state text NOT NULL DEFAULT 'linked' CHECK (state IN ('creating', 'linked', 'removing')),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT federated_identities_subject UNIQUE (provider_id, subject),
    CONSTRAINT federated_identities_known CHECK (state <> 'linked' OR subject IS NOT NULL)
);
CREATE INDEX federated_identities_user ON federated_identities (user_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON federated_identities TO :"tenant";
