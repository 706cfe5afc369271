DROP TABLE idempotency_keys, audit_log, api_keys, sessions, users;
