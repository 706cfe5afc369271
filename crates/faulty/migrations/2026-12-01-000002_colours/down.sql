-- The column stays.
DROP INDEX boxes_by_colour;
