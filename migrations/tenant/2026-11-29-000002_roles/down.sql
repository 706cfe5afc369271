ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_role_form,
    ADD CONSTRAINT api_keys_role_check CHECK (role IN ('owner', 'admin', 'developer', 'read_only'));
ALTER TABLE users
    DROP CONSTRAINT users_role_form,
    ADD CONSTRAINT users_role_check CHECK (role IN ('owner', 'admin', 'developer', 'read_only'));
DROP TABLE roles;
