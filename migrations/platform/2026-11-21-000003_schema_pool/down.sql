-- Without the table nobody would know what the schemas and roles are for, and the owner of schemas cannot drop roles.
DO $$
BEGIN
    IF EXISTS (SELECT FROM schema_pool) THEN
        RAISE EXCEPTION 'there are schemas in the pool: run a worker with BULKHEAD_SCHEMA_POOL=0 until they are gone';
    END IF;
END
$$;
DROP TABLE schema_pool;
DELETE FROM jobs WHERE kind = 'fill_schema_pool';
DELETE FROM job_kinds WHERE kind = 'fill_schema_pool';
