-- Runs once in each tenant's schema, which is the only one that it sees: no name is qualified.
CREATE TABLE notes (
    id uuid PRIMARY KEY,
    topic text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL
);
-- For lists of one topic, in the order of pages.
CREATE INDEX notes_by_topic ON notes (topic, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO :"tenant";
