-- Whether an issuer that asks everybody for a second factor has opened the session: it goes on without one of ours.

ALTER TABLE sessions ADD COLUMN factor_at_issuer boolean NOT NULL DEFAULT false;
