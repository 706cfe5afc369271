
CREATE TABLE resources (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL,
    data jsonb NOT NULL,
    owner text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX resources_kind ON resources (kind, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON resources TO :"tenant";
