-- Which release's texts of gate are in force: an older release leaves those of a newer one alone.

ALTER TABLE repeatables ADD COLUMN generation integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN repeatables.generation IS
    'How often the texts had changed in the program that ran them last. A program whose texts have changed less often runs none of its own.';
