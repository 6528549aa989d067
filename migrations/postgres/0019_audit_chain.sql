-- The audit log is a chain: a row that is sealed has a number without gaps and a hash over the row before it and what is public
-- of its own. What may name a person (address, reason, before and after) is the JSON text facts: it can be erased, for the hash has
-- a salted commitment to it alone. audit_chain says which row was the last that retention removed, and which is the last that is sealed.
ALTER TABLE audit ADD COLUMN facts TEXT;
ALTER TABLE audit ADD COLUMN salt BYTEA;
ALTER TABLE audit ADD COLUMN commitment BYTEA;
ALTER TABLE audit ADD COLUMN seq BIGINT;
ALTER TABLE audit ADD COLUMN hash BYTEA;
UPDATE audit SET facts = json_build_object('ip', ip, 'after', detail)::text WHERE ip IS NOT NULL OR detail IS NOT NULL;
ALTER TABLE audit DROP COLUMN ip;
ALTER TABLE audit DROP COLUMN detail;
CREATE TABLE audit_chain (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    removed_seq  BIGINT NOT NULL,
    removed_hash BYTEA NOT NULL,
    head_seq     BIGINT NOT NULL,
    head_hash    BYTEA NOT NULL
);
INSERT INTO audit_chain (id, removed_seq, removed_hash, head_seq, head_hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'));
CREATE UNIQUE INDEX audit_by_seq ON audit (seq);
CREATE INDEX audit_not_sealed ON audit (id) WHERE seq IS NULL;
DROP INDEX audit_by_time;
DROP INDEX audit_by_object;
CREATE INDEX audit_by_time ON audit (at_ms, id);
CREATE INDEX audit_by_object ON audit (object, at_ms, id);
CREATE INDEX audit_by_actor ON audit (actor, at_ms, id);
CREATE INDEX audit_by_action ON audit (action, at_ms, id);
CREATE INDEX audit_by_request ON audit (request_id) WHERE request_id IS NOT NULL;
