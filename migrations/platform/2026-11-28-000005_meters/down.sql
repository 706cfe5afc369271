DROP VIEW gate.meters;
DROP TABLE meters;
