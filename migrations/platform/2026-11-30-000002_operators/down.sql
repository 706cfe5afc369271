-- Operators with a role of the platform's own are left with what a program of before knows.
ALTER TABLE tenants DROP COLUMN impersonation;
DROP TABLE second_factors;
DROP TABLE operator_keys;
REVOKE DELETE ON operators FROM bulkhead_platform_rw;
UPDATE operators SET role = 'support' WHERE role NOT IN ('admin', 'support', 'billing');
ALTER TABLE operators
    DROP COLUMN token_expires_at,
    DROP COLUMN token_by,
    DROP COLUMN token_mac,
    DROP COLUMN updated_at,
    DROP COLUMN version,
    DROP CONSTRAINT operators_role_form,
    ADD CONSTRAINT operators_role_check CHECK (role IN ('admin', 'support', 'billing'));
COMMENT ON COLUMN operators.password_hash IS NULL;
DROP TABLE operator_roles;
