ALTER TABLE repeatables DROP COLUMN generation;
