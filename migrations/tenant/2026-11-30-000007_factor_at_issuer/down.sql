ALTER TABLE sessions DROP COLUMN factor_at_issuer;
