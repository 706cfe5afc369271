-- Runs once in each tenant's schema, which is the only one that it sees: no name is qualified.
CREATE TABLE customers (
    id uuid PRIMARY KEY,
    number text NOT NULL UNIQUE,
    name text NOT NULL,
    kind text NOT NULL,
    created_at timestamptz NOT NULL
);
-- For lists of one kind, in the order of pages.
CREATE INDEX customers_by_kind ON customers (kind, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON customers TO :"tenant";
