ALTER TABLE idempotency_keys ALTER COLUMN body SET COMPRESSION default;
ALTER TABLE resources DROP COLUMN data_bytes;
ALTER TABLE resources ALTER COLUMN data SET COMPRESSION default, ALTER COLUMN data TYPE jsonb;
ALTER TABLE resources
    ADD COLUMN data_bytes integer NOT NULL GENERATED ALWAYS AS (octet_length(data::text)) STORED;
