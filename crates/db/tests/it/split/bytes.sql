-- A page of resources ends by bytes as well as by rows, and has to know the size of a row without reading it. Adding a
-- generated column rewrites the table; this one comes before the first release, while no tenant has many rows.
ALTER TABLE resources
    ADD COLUMN data_bytes integer NOT NULL GENERATED ALWAYS AS (octet_length(data::text)) STORED;
