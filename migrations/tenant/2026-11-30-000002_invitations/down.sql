DROP TABLE settings;

DELETE FROM one_time_tokens WHERE purpose <> 'password_reset';
DROP INDEX one_time_tokens_email;
ALTER TABLE one_time_tokens
    DROP COLUMN password_hash,
    DROP COLUMN role,
    DROP COLUMN email;
