-- Who of an issuer's people is who of ours. One whose person was removed stays: it must not make them anew.

CREATE TABLE federated_identities (
    id uuid PRIMARY KEY,
    provider_id uuid NOT NULL,
    subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 255),
    user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT federated_identities_subject UNIQUE (provider_id, subject)
);
CREATE INDEX federated_identities_user ON federated_identities (user_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON federated_identities TO :"tenant";
