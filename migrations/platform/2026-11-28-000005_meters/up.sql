-- Meters are open: programs declare them, and what one program counts any other carries and shows.

CREATE TABLE meters (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    unit text NOT NULL CHECK (unit ~ '^[a-z][a-z0-9-]{0,31}$'),
    kind text NOT NULL CHECK (kind IN ('count', 'amount'))
);
COMMENT ON TABLE meters IS
    'Every meter that a program which has migrated this database declares or declared. None is ever removed: a program that '
    'does not know a meter reads its unit here.';
COMMENT ON COLUMN meters.kind IS 'count: whole things; amount: what is measured, to the thousandth of the unit.';
GRANT SELECT ON meters TO bulkhead_platform_rw;

CREATE TABLE usage_counts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL,
    meter text NOT NULL CHECK (meter ~ '^[a-z][a-z0-9_]{0,62}$'),
    at timestamptz NOT NULL DEFAULT now(),
    quantity numeric NOT NULL
        CHECK (quantity > 0 AND quantity <= 1000000000000 AND quantity = round(quantity, 3))
);
COMMENT ON TABLE usage_counts IS
    'What tenants'' transactions have counted and is not in the rollups yet: the transaction that adds a row to them deletes it. '
    'Only gate.count_usage adds rows, and nothing changes one.';
COMMENT ON COLUMN usage_counts.at IS 'When the transaction that has counted it began; it is billed in that hour.';
-- To lock what is folded takes the right to change a column.
GRANT SELECT, DELETE, UPDATE (at) ON usage_counts TO bulkhead_platform_rw;
