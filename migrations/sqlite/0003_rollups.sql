-- What receipts add up to, what a node offers, and the indexes of the list queries.
-- Sketches are the bytes of the model's quantile sketch; minutes are unix minutes of receipt by the control plane.

-- Per node, minute and region. Rows with an empty node_id are sums over all nodes, per quarter of an hour.
CREATE TABLE rollups (
    node_id       TEXT NOT NULL,
    minute        INTEGER NOT NULL,
    region        TEXT NOT NULL,
    requests      INTEGER NOT NULL,
    errors        INTEGER NOT NULL,
    cache_hits    INTEGER NOT NULL,
    cache_known   INTEGER NOT NULL,
    tokens_input  INTEGER NOT NULL,
    tokens_output INTEGER NOT NULL,
    ttft          BLOB NOT NULL,
    latency       BLOB NOT NULL,
    PRIMARY KEY (node_id, minute, region)
) WITHOUT ROWID;
CREATE INDEX rollups_by_minute ON rollups (minute);

-- What a node offers now, from its last inventory. A runtime has a row with an empty model_id too.
CREATE TABLE node_models (
    node_id  TEXT NOT NULL,
    runtime  TEXT NOT NULL,
    model_id TEXT NOT NULL,
    PRIMARY KEY (node_id, runtime, model_id)
) WITHOUT ROWID;
CREATE INDEX node_models_by_model ON node_models (model_id, node_id);
CREATE INDEX node_models_by_runtime ON node_models (runtime, node_id);

-- A node's last 24 hours, recomputed from rollups: what the nodes list shows and sorts by.
ALTER TABLE nodes ADD COLUMN requests_24h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN p95_ms INTEGER;
ALTER TABLE nodes ADD COLUMN window_minute INTEGER NOT NULL DEFAULT 0;
CREATE INDEX nodes_by_window ON nodes (window_minute) WHERE requests_24h > 0;

-- One index per order of the nodes list. Unknown comes last in both directions, so p95 has two.
CREATE INDEX nodes_by_p95 ON nodes (COALESCE(p95_ms, 9007199254740991), node_id);
CREATE INDEX nodes_by_p95_falling ON nodes (COALESCE(p95_ms, -1), node_id);
CREATE INDEX nodes_by_heartbeat ON nodes (COALESCE(last_heartbeat_at_ms, 0), node_id);
CREATE INDEX nodes_by_status ON nodes (CASE state WHEN 'quarantine' THEN 0 WHEN 'offline' THEN 1 WHEN 'active' THEN 3 ELSE 2 END, node_id);
CREATE INDEX nodes_by_org ON nodes (org_id, node_id);

CREATE INDEX receipts_by_time ON receipts (received_at_ms, id);
CREATE INDEX receipts_by_model ON receipts (model_id, id);
CREATE INDEX receipts_by_region ON receipts (region, id);
-- The rare values only: the common ones are found by walking the list itself.
CREATE INDEX receipts_not_ok ON receipts (status, id) WHERE status <> 'ok';
CREATE INDEX receipts_not_local ON receipts (source, id) WHERE source <> 'local';
CREATE INDEX receipts_hedged ON receipts (id) WHERE hedged = TRUE;
CREATE INDEX receipts_cached ON receipts (id) WHERE cache_hit = TRUE;
