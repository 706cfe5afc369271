DROP TABLE idempotency_keys, audit_log, resources, api_keys, sessions, users;
