-- What comes before adds no counts to the rollups. A transaction that has counted and is not committed yet is waited for.
LOCK TABLE usage_counts IN ACCESS EXCLUSIVE MODE;
DO $$
BEGIN
    IF EXISTS (SELECT FROM usage_counts) THEN
        RAISE EXCEPTION 'usage was counted that is not in the rollups yet: wait until a worker has added it';
    END IF;
END
$$;
DROP TABLE usage_counts;
DROP TABLE meters;
