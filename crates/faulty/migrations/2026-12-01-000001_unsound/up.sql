-- The default is the time at which the migration ran, and another one in each schema: it had to be now().
CREATE TABLE shelves (id uuid PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT 'now');
-- The reference has no index.
CREATE TABLE boxes (id uuid PRIMARY KEY, shelf uuid NOT NULL REFERENCES shelves (id));
GRANT SELECT, INSERT, UPDATE, DELETE ON shelves TO :"tenant";
GRANT SELECT, INSERT, UPDATE, DELETE ON boxes TO :"tenant";
