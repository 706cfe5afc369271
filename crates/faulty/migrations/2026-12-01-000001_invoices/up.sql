CREATE TABLE invoices (
    id uuid PRIMARY KEY,
    number text NOT NULL UNIQUE,
    terms text NOT NULL,
    cents bigint NOT NULL,
    sent_at timestamptz,
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON invoices TO :"tenant";
