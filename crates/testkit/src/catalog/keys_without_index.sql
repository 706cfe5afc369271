-- Foreign keys that no index serves: one does when its first columns are the key's, in any order, and it leaves no row out.
SELECT conrelid::regclass || ' ' || conname FROM pg_constraint k
WHERE contype = 'f' AND NOT EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND indpred IS NULL
      AND (SELECT array_agg(a ORDER BY a) FROM unnest((i.indkey::smallint[])[0:cardinality(k.conkey) - 1]) a)
        = (SELECT array_agg(a ORDER BY a) FROM unnest(k.conkey) a))
