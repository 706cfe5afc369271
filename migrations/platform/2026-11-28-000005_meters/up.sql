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

CREATE VIEW gate.meters WITH (security_barrier) AS
SELECT name, unit FROM platform.meters;
GRANT SELECT ON gate.meters TO bulkhead_tenants;
