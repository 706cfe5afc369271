DO $$
DECLARE
    gone text;
BEGIN
    FOR gone IN
        SELECT format('VIEW gate.%I', relname) FROM pg_class WHERE relnamespace = to_regnamespace('gate') AND relkind = 'v'
        UNION ALL
        SELECT format('ROUTINE %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = to_regnamespace('gate')
    LOOP
        EXECUTE 'DROP ' || gone || ' CASCADE';
    END LOOP;
    IF to_regclass('platform.repeatables') IS NOT NULL THEN
        DELETE FROM platform.repeatables;
    END IF;
END
$$;
