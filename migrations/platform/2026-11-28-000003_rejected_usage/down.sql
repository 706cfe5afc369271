REVOKE DELETE, UPDATE (at) ON usage_batches_rejected FROM bulkhead_platform_rw;
COMMENT ON COLUMN usage_batches_rejected.payload IS NULL;
COMMENT ON TABLE usage_batches_rejected IS 'Stream entries that could not be read; kept for people to look at.';
DROP INDEX usage_batches_rejected_foreign, usage_batches_rejected_sha256;
ALTER TABLE usage_batches_rejected
    DROP COLUMN sha256,
    DROP COLUMN bytes,
    DROP COLUMN authentic;
