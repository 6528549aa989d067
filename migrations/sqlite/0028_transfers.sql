-- A node may pass from one organisation to another. Whose a receipt is, the key says that signed it: a key belongs to one
-- organisation for ever, and the next one of the node begins with a key of its own. Sums are of one node and one organisation.
ALTER TABLE node_keys ADD COLUMN org_id TEXT;
UPDATE node_keys SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = node_keys.node_id);
CREATE INDEX node_keys_by_org ON node_keys (org_id, node_id);

-- org_id is empty where there is none, and in the rows over all nodes.
CREATE TABLE rollups_new (
    node_id            TEXT NOT NULL,
    minute             INTEGER NOT NULL,
    region             TEXT NOT NULL,
    requests           INTEGER NOT NULL,
    errors             INTEGER NOT NULL,
    cache_hits         INTEGER NOT NULL,
    cache_known        INTEGER NOT NULL,
    tokens_input       INTEGER NOT NULL,
    tokens_output      INTEGER NOT NULL,
    ttft               BLOB NOT NULL,
    latency            BLOB NOT NULL,
    tokens_not_counted INTEGER NOT NULL DEFAULT 0,
    org_id             TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (node_id, minute, region, org_id)
) WITHOUT ROWID;
INSERT INTO rollups_new (node_id, minute, region, requests, errors, cache_hits, cache_known, tokens_input, tokens_output, ttft,
    latency, tokens_not_counted, org_id)
SELECT node_id, minute, region, requests, errors, cache_hits, cache_known, tokens_input, tokens_output, ttft, latency,
    tokens_not_counted, COALESCE(org_id, '') FROM rollups ORDER BY node_id, minute, region;
DROP TABLE rollups;
ALTER TABLE rollups_new RENAME TO rollups;
CREATE INDEX rollups_by_minute ON rollups (minute);
CREATE INDEX rollups_by_org ON rollups (org_id, minute);
