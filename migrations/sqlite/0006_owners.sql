-- A request id is unique per node; every fact row says whose node it was; a receipt's region is the one that the network
-- has its node in, and what the node says of it stays in the entry alone.

CREATE TABLE receipts_new (
    id             INTEGER PRIMARY KEY,
    request_id     TEXT NOT NULL,
    node_id        TEXT NOT NULL,
    org_id         TEXT,
    node_key_id    INTEGER NOT NULL,
    seq            INTEGER,
    received_at_ms INTEGER NOT NULL,
    version        TEXT NOT NULL,
    region         TEXT NOT NULL,
    model_id       TEXT NOT NULL,
    runtime        TEXT,
    source         TEXT,
    status         TEXT,
    ts_start       INTEGER NOT NULL,
    ts_end         INTEGER NOT NULL,
    tokens_input   INTEGER NOT NULL,
    tokens_output  INTEGER NOT NULL,
    tokens_cached  INTEGER,
    tokens_source  TEXT,
    ttft_ms        INTEGER,
    latency_ms     INTEGER,
    p95_ms         INTEGER,
    cache_hit      BOOLEAN,
    hedged         BOOLEAN,
    entry_hash     BLOB NOT NULL,
    entry          BLOB NOT NULL
);
INSERT INTO receipts_new (id, request_id, node_id, node_key_id, seq, received_at_ms, version, region, model_id, runtime,
    source, status, ts_start, ts_end, tokens_input, tokens_output, tokens_cached, ttft_ms, latency_ms,
    p95_ms, cache_hit, hedged, entry_hash, entry, tokens_source, org_id)
SELECT r.id, r.request_id, r.node_id, r.node_key_id, r.seq, r.received_at_ms, r.version, COALESCE(n.region,
    r.region, ''), r.model_id, r.runtime, r.source, r.status, r.ts_start, r.ts_end, r.tokens_input,
    r.tokens_output, r.tokens_cached, r.ttft_ms, r.latency_ms, r.p95_ms, r.cache_hit, r.hedged,
    r.entry_hash, r.entry, r.tokens_source, n.org_id
FROM receipts r LEFT JOIN nodes n ON n.node_id = r.node_id ORDER BY r.id;
DROP TABLE receipts;
ALTER TABLE receipts_new RENAME TO receipts;
CREATE UNIQUE INDEX receipts_by_chain ON receipts (node_key_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX receipts_by_node ON receipts (node_id, id);
CREATE INDEX receipts_by_time ON receipts (received_at_ms, id);
CREATE INDEX receipts_by_model ON receipts (model_id, id);
CREATE INDEX receipts_by_region ON receipts (region, id);
CREATE INDEX receipts_not_ok ON receipts (status, id) WHERE status <> 'ok';
CREATE INDEX receipts_not_local ON receipts (source, id) WHERE source <> 'local';
CREATE INDEX receipts_hedged ON receipts (id) WHERE hedged = TRUE;
CREATE INDEX receipts_cached ON receipts (id) WHERE cache_hit = TRUE;
CREATE UNIQUE INDEX receipts_by_request ON receipts (request_id, node_id);
CREATE INDEX receipts_by_org ON receipts (org_id, id);

ALTER TABLE heartbeats ADD COLUMN org_id TEXT;
ALTER TABLE probes ADD COLUMN org_id TEXT;
ALTER TABLE lifecycle_events ADD COLUMN org_id TEXT;
ALTER TABLE receipt_evidence ADD COLUMN org_id TEXT;
ALTER TABLE chain_gaps ADD COLUMN org_id TEXT;
ALTER TABLE rollups ADD COLUMN org_id TEXT;
UPDATE heartbeats SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = heartbeats.node_id);
UPDATE probes SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = probes.node_id);
UPDATE lifecycle_events SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = lifecycle_events.node_id);
UPDATE receipt_evidence SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = receipt_evidence.node_id);
UPDATE chain_gaps SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = chain_gaps.node_id);
UPDATE rollups SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = rollups.node_id);
CREATE INDEX heartbeats_by_org ON heartbeats (org_id, at_ms);
CREATE INDEX probes_by_org ON probes (org_id, started_at_ms);
CREATE INDEX lifecycle_events_by_org ON lifecycle_events (org_id, id);
CREATE INDEX receipt_evidence_by_org ON receipt_evidence (org_id, id);
CREATE INDEX chain_gaps_by_org ON chain_gaps (org_id, id);
CREATE INDEX rollups_by_org ON rollups (org_id, minute);

-- Ingest reads the gaps of a chain at once.
CREATE INDEX chain_gaps_by_key ON chain_gaps (node_key_id, from_seq);
