-- Who acts through the actor, from where, and in which transaction an entry was written.

ALTER TABLE audit_log
    ADD COLUMN act text,
    ADD COLUMN address text,
    ADD COLUMN xid xid8;
-- Entries of before have none: a default that is there from the beginning would rewrite the table.
ALTER TABLE audit_log ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
COMMENT ON COLUMN audit_log.act IS 'Who acts through the actor; null when the actor acts.';
COMMENT ON COLUMN audit_log.address IS 'The client''s address; null for what no client has asked for.';
COMMENT ON COLUMN audit_log.xid IS
    'The transaction that has written the entry, by which the chain knows which entries it has not seen.';

CREATE INDEX audit_log_xid ON audit_log (xid) WHERE xid IS NOT NULL;

REVOKE INSERT ON audit_log FROM bulkhead_platform_rw;
GRANT INSERT (id, at, actor, act, action, target, request_id, address, changes) ON audit_log TO bulkhead_platform_rw;

ALTER TABLE tenant_audit_log ADD COLUMN act text;
COMMENT ON COLUMN tenant_audit_log.act IS 'Who acted through the actor. From where is not kept: it went with the tenant''s data.';

CREATE TABLE audit_chains (
    chain uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    server bigint,
    seen pg_snapshot,
    target pg_snapshot,
    resume_xid xid8,
    resume_id uuid,
    inserted bigint,
    looked_at timestamptz
);
COMMENT ON TABLE audit_chains IS
    'How far each audit log is chained: a tenant''s by its id, the operators'' by the nil UUID. Written by the owner alone.';
COMMENT ON COLUMN audit_chains.sequence IS 'How many entries are chained.';
COMMENT ON COLUMN audit_chains.hash IS 'The hash of the last of them.';
COMMENT ON COLUMN audit_chains.server IS
    'The system identifier of the server whose transactions the snapshots tell of. On another one, restored from a dump, '
    'transactions are counted anew, and the log is read from the beginning.';
COMMENT ON COLUMN audit_chains.seen IS
    'All entries that this snapshot sees are chained; null until the log was read once from its beginning to its end.';
COMMENT ON COLUMN audit_chains.target IS 'The entries that this snapshot sees are being chained.';
COMMENT ON COLUMN audit_chains.resume_xid IS 'Of the target, entries of transactions before this one are chained.';
COMMENT ON COLUMN audit_chains.resume_id IS 'In the first reading, entries up to this id are chained.';
COMMENT ON COLUMN audit_chains.inserted IS
    'How many rows PostgreSQL had counted as inserted into the log when it was last looked at: a hint that there is more.';

CREATE TABLE audit_links (
    chain uuid NOT NULL REFERENCES audit_chains (chain),
    sequence bigint NOT NULL,
    entry_id uuid NOT NULL,
    address_salt bytea,
    address_commitment bytea,
    changes_salt bytea,
    changes_commitment bytea,
    hash bytea NOT NULL,
    actor_key bigint NOT NULL,
    action_key bigint NOT NULL,
    target_key bigint NOT NULL,
    request_key bigint NOT NULL,
    PRIMARY KEY (chain, sequence),
    UNIQUE (chain, entry_id)
);
-- Entries are searched by what the job has written of them, so that a write does not keep four more indexes.
CREATE INDEX audit_links_actor ON audit_links (chain, actor_key, entry_id);
CREATE INDEX audit_links_action ON audit_links (chain, action_key, entry_id);
CREATE INDEX audit_links_target ON audit_links (chain, target_key, entry_id);
CREATE INDEX audit_links_request ON audit_links (chain, request_key, entry_id);
COMMENT ON TABLE audit_links IS
    'The place of each entry in its chain. crates/db/AUDIT.md says what a hash is made of. Written by the owner alone.';
COMMENT ON COLUMN audit_links.address_commitment IS 'What is left when the address and its salt were erased.';
COMMENT ON COLUMN audit_links.actor_key IS 'The first eight bytes of the SHA-256 of the actor; the others alike.';
COMMENT ON COLUMN audit_links.changes_commitment IS 'What is left when the changes and their salt were erased.';

CREATE TABLE audit_keys (
    kid text PRIMARY KEY,
    public_jwk jsonb NOT NULL,
    sealed_private bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_keys IS
    'Keys that sign exports and anchors of audit logs. The newest signs. A row is never deleted: what it has signed is verified '
    'years later.';

CREATE TABLE audit_anchors (
    at timestamptz PRIMARY KEY,
    place text NOT NULL,
    chains bigint NOT NULL
);
COMMENT ON TABLE audit_anchors IS 'When the heads of all chains were written to a place outside of the database.';

GRANT SELECT ON audit_chains, audit_links TO bulkhead_platform_rw;
GRANT SELECT, INSERT ON audit_keys TO bulkhead_platform_rw;
GRANT SELECT, INSERT ON audit_anchors TO bulkhead_platform_rw;
