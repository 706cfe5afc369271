CREATE TABLE orders (
    id uuid PRIMARY KEY,
    number text NOT NULL UNIQUE,
    customer uuid NOT NULL REFERENCES customers (id),
    recipient uuid NOT NULL REFERENCES customers (id),
    replaces uuid REFERENCES orders (id),
    speed text NOT NULL CHECK (speed IN ('slow', 'fast')),
    paid boolean NOT NULL,
    send_on date NOT NULL,
    promised_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer, id);
CREATE INDEX orders_recipient ON orders (recipient);
CREATE INDEX orders_replaces ON orders (replaces);
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO :"tenant";
