-- Every fact that makes up the schemas, one a row, in an order of its own. :schemas is a list of names in quotes.
WITH spaces AS (SELECT * FROM pg_namespace WHERE nspname IN (:schemas)),
     relations AS (
        SELECT c.* FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace WHERE relname !~ '^__diesel_schema_migrations')
SELECT fact FROM (
    SELECT format('schema %s owner %s', nspname, nspowner::regrole) AS fact FROM spaces
    UNION ALL SELECT format('schema %s grants %s', nspname, g) FROM spaces,
        aclexplode(coalesce(nspacl, acldefault('n', nspowner))) x,
        format('%s to %s by %s', x.privilege_type, x.grantee::regrole, x.grantor::regrole) g
    UNION ALL SELECT format('relation %s kind %s owner %s options %s persistence %s rls %s', oid::regclass, relkind,
        relowner::regrole, reloptions, relpersistence, relrowsecurity) FROM relations
    UNION ALL SELECT format('relation %s grants %s', oid::regclass, g) FROM relations,
        aclexplode(coalesce(relacl, acldefault('r', relowner))) x,
        format('%s to %s by %s', x.privilege_type, x.grantee::regrole, x.grantor::regrole) g
        WHERE relkind IN ('r', 'v')
    UNION ALL SELECT format('column %s.%s #%s %s not null %s default %s generated %s collation %s compression %s grants %s', attrelid::regclass,
        attname, row_number() OVER (PARTITION BY attrelid ORDER BY attnum), format_type(atttypid, atttypmod), attnotnull,
        pg_get_expr(adbin, adrelid), attgenerated, attcollation, attcompression, attacl)
        FROM pg_attribute JOIN relations r ON r.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(k.oid))
        FROM pg_constraint k JOIN relations r ON r.oid = conrelid
    UNION ALL SELECT format('index %s', pg_get_indexdef(indexrelid)) FROM pg_index JOIN relations r ON r.oid = indrelid
    UNION ALL SELECT format('view %s: %s', oid::regclass, pg_get_viewdef(oid)) FROM relations WHERE relkind = 'v'
    UNION ALL SELECT format('function %s owner %s: %s', p.oid::regprocedure, proowner::regrole, pg_get_functiondef(p.oid))
        FROM pg_proc p JOIN spaces s ON s.oid = pronamespace
    UNION ALL SELECT format('function %s grants %s', p.oid::regprocedure, g)
        FROM pg_proc p JOIN spaces s ON s.oid = pronamespace,
        aclexplode(coalesce(proacl, acldefault('f', proowner))) x,
        format('%s to %s by %s', x.privilege_type, x.grantee::regrole, x.grantor::regrole) g
    UNION ALL SELECT format('type %s kind %s', t.oid::regtype, typtype) FROM pg_type t JOIN spaces s ON s.oid = typnamespace
        WHERE typtype <> 'c' AND typcategory <> 'A'
    UNION ALL SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN relations r ON r.oid = tgrelid
        WHERE NOT tgisinternal
    UNION ALL SELECT format('comment on %s: %s', coalesce(r.oid::regclass::text || '.' || d.objsubid, p.oid::regprocedure::text), description)
        FROM pg_description d LEFT JOIN relations r ON r.oid = d.objoid AND d.classoid = 'pg_class'::regclass
        LEFT JOIN (pg_proc p JOIN spaces s ON s.oid = pronamespace)
            ON p.oid = d.objoid AND d.classoid = 'pg_proc'::regclass
        WHERE r.oid IS NOT NULL OR p.oid IS NOT NULL
) AS facts ORDER BY fact COLLATE "C"
