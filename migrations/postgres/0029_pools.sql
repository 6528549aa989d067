-- Private pools: nodes that an organisation keeps to itself and to those that are admitted. Labels are a JSON object of texts.
CREATE TABLE pools (
    pool_id       TEXT PRIMARY KEY,
    org_id        TEXT NOT NULL REFERENCES orgs (org_id),
    name          TEXT NOT NULL,
    labels        TEXT NOT NULL,
    existence     TEXT NOT NULL CHECK (existence IN ('hidden', 'listed')),
    created_at_ms BIGINT NOT NULL,
    closed_at_ms  BIGINT
);
-- Of the open ones of an organisation each has a name of its own.
CREATE UNIQUE INDEX pools_by_name ON pools (org_id, name) WHERE closed_at_ms IS NULL;
CREATE INDEX pools_by_time ON pools (created_at_ms, pool_id);

-- Other organisations that may see and use the nodes of a pool.
CREATE TABLE pool_members (
    pool_id        TEXT NOT NULL REFERENCES pools (pool_id),
    org_id         TEXT NOT NULL REFERENCES orgs (org_id),
    admitted_at_ms BIGINT NOT NULL,
    admitted_by    TEXT NOT NULL,
    PRIMARY KEY (pool_id, org_id)
);
CREATE INDEX pool_members_by_org ON pool_members (org_id, pool_id);

-- A node is in one pool at most, one of its own organisation. Most are in none: these the index leaves out.
ALTER TABLE nodes ADD COLUMN pool_id TEXT REFERENCES pools (pool_id);
CREATE INDEX nodes_by_pool ON nodes (pool_id, node_id, state) WHERE pool_id IS NOT NULL;
-- Strangers' nodes are those in no pool: their count, too, reads no row.
DROP INDEX nodes_by_state;
CREATE INDEX nodes_by_state ON nodes (state, node_id, pool_id);

-- The pool of the nodes that a token enrols.
ALTER TABLE enrolment_tokens ADD COLUMN pool_id TEXT REFERENCES pools (pool_id);
CREATE INDEX enrolment_tokens_by_pool ON enrolment_tokens (pool_id) WHERE pool_id IS NOT NULL;
