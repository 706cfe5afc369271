ALTER TABLE boxes ADD COLUMN IF NOT EXISTS colour text;
CREATE INDEX boxes_by_colour ON boxes (colour);
