CREATE TABLE notes (
    id uuid PRIMARY KEY,
    title text NOT NULL UNIQUE,
    before uuid REFERENCES notes (id),
    stamp text,
    created_at timestamptz NOT NULL
);
CREATE INDEX notes_before ON notes (before);
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO :"tenant";
