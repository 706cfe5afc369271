-- From where people have logged in, and secrets that work once.

ALTER TABLE sessions
    ADD COLUMN user_agent text,
    ADD COLUMN address text;

CREATE TABLE one_time_tokens (
    id uuid PRIMARY KEY,
    purpose text NOT NULL,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    mac bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX one_time_tokens_user ON one_time_tokens (user_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON one_time_tokens TO :"tenant";
