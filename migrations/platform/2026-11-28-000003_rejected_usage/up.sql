-- Whoever can write to Redis cannot fill the disk with what is set aside: of an entry without our tag only the beginning is
-- kept, of so many entries, for so long.

ALTER TABLE usage_batches_rejected
    ADD COLUMN authentic boolean NOT NULL DEFAULT true,
    ADD COLUMN bytes integer,
    ADD COLUMN sha256 bytea;
UPDATE usage_batches_rejected
SET authentic = NOT starts_with(reason, 'its tag is missing or wrong'), bytes = length(payload), sha256 = sha256(payload);
CREATE INDEX usage_batches_rejected_foreign ON usage_batches_rejected (at) WHERE NOT authentic;
CREATE INDEX usage_batches_rejected_sha256 ON usage_batches_rejected (sha256) WHERE authentic;
COMMENT ON TABLE usage_batches_rejected IS 'Stream entries that were not believed or could not be read; kept for people to look at.';
COMMENT ON COLUMN usage_batches_rejected.authentic IS
    'Whether the entry had our tag. One that had not is kept for 31 days; an older program says of all that they had.';
COMMENT ON COLUMN usage_batches_rejected.payload IS 'The entry; of one that is not authentic, at most its first 1024 bytes.';
COMMENT ON COLUMN usage_batches_rejected.bytes IS 'How long the entry was; null when an older program has written the row.';
COMMENT ON COLUMN usage_batches_rejected.sha256 IS
    'The hash of the entry; null when it was longer than any batch, and was not read to its end, or when an older program has '
    'written the row.';

-- Housekeeping locks what it deletes, which takes the right to change a column.
GRANT DELETE, UPDATE (at) ON usage_batches_rejected TO bulkhead_platform_rw;
