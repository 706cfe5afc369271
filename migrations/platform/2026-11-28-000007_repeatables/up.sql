-- Functions and views have one text each, which is run again when it changes.

CREATE TABLE repeatables (
    name text PRIMARY KEY,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE repeatables IS 'The text of each function and view of gate that was run last.';
COMMENT ON COLUMN repeatables.digest IS 'The SHA-256 of the text.';
