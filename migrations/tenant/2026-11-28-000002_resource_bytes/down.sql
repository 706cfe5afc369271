ALTER TABLE resources DROP COLUMN data_bytes;
