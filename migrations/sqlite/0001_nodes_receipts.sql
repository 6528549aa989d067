-- Nodes, their keys and secrets, receipts and what surrounds them.
-- Times are unix milliseconds, named *_ms, unless a receipt field says seconds. JSON is text as received.

CREATE TABLE nodes (
    node_id              TEXT PRIMARY KEY,
    region               TEXT NOT NULL,
    state                TEXT NOT NULL,
    state_reason         TEXT NOT NULL,
    state_since_ms       INTEGER NOT NULL,
    enrolled_at_ms       INTEGER NOT NULL,
    org_id               TEXT,
    token_id             TEXT,
    agent_version        TEXT NOT NULL,
    os                   TEXT NOT NULL,
    arch                 TEXT NOT NULL,
    hardware_hash        TEXT,
    inventory            TEXT,
    allow_list           TEXT,
    last_connected_at_ms INTEGER,
    last_heartbeat_at_ms INTEGER,
    last_heartbeat       TEXT
);
CREATE INDEX nodes_by_state ON nodes (state, node_id);
CREATE INDEX nodes_by_region ON nodes (region, node_id);
CREATE INDEX nodes_by_token ON nodes (token_id);

-- One row per key a node ever had. valid_to_ms is null for the key in use; head_* is the end of its chain.
CREATE TABLE node_keys (
    id            INTEGER PRIMARY KEY,
    node_id       TEXT NOT NULL REFERENCES nodes (node_id),
    key_id        TEXT NOT NULL,
    public_key    BLOB NOT NULL UNIQUE,
    valid_from_ms INTEGER NOT NULL,
    valid_to_ms   INTEGER,
    head_seq      INTEGER NOT NULL DEFAULT 0,
    head_hash     BLOB NOT NULL
);
CREATE INDEX node_keys_by_node ON node_keys (node_id, valid_from_ms);

-- HMAC secrets, sealed with the master key of the data directory.
CREATE TABLE node_secrets (
    node_id       TEXT PRIMARY KEY REFERENCES nodes (node_id),
    sealed        BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL
);

CREATE TABLE enrolment_tokens (
    id            TEXT PRIMARY KEY,
    token_hash    BLOB NOT NULL UNIQUE,
    label         TEXT NOT NULL,
    region        TEXT,
    org_id        TEXT,
    created_by    TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    uses_total    INTEGER NOT NULL,
    uses_left     INTEGER NOT NULL,
    revoked_at_ms INTEGER
);
CREATE INDEX enrolment_tokens_by_time ON enrolment_tokens (created_at_ms);

-- Receipts that verified. entry is the canonical JSON, exactly as hashed and chained; id is the received order.
CREATE TABLE receipts (
    id             INTEGER PRIMARY KEY,
    request_id     TEXT NOT NULL UNIQUE,
    node_id        TEXT NOT NULL,
    node_key_id    INTEGER NOT NULL,
    seq            INTEGER,
    received_at_ms INTEGER NOT NULL,
    version        TEXT NOT NULL,
    region         TEXT,
    model_id       TEXT NOT NULL,
    runtime        TEXT,
    source         TEXT,
    status         TEXT,
    ts_start       INTEGER NOT NULL,
    ts_end         INTEGER NOT NULL,
    tokens_input   INTEGER NOT NULL,
    tokens_output  INTEGER NOT NULL,
    tokens_cached  INTEGER,
    ttft_ms        INTEGER,
    latency_ms     INTEGER,
    p95_ms         INTEGER,
    cache_hit      BOOLEAN,
    hedged         BOOLEAN,
    entry_hash     BLOB NOT NULL,
    entry          BLOB NOT NULL
);
CREATE UNIQUE INDEX receipts_by_chain ON receipts (node_key_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX receipts_by_node ON receipts (node_id, id);

-- Bytes that were refused on a node's own session: bad signatures, conflicts, forks. Never deleted with receipts.
CREATE TABLE receipt_evidence (
    id         INTEGER PRIMARY KEY,
    node_id    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    request_id TEXT,
    seq        INTEGER,
    at_ms      INTEGER NOT NULL,
    session_id TEXT,
    bytes      BLOB NOT NULL
);
CREATE INDEX receipt_evidence_by_node ON receipt_evidence (node_id, id);

CREATE TABLE chain_gaps (
    id             INTEGER PRIMARY KEY,
    node_id        TEXT NOT NULL,
    node_key_id    INTEGER NOT NULL,
    from_seq       INTEGER NOT NULL,
    to_seq         INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    detected_at_ms INTEGER NOT NULL
);
CREATE INDEX chain_gaps_by_node ON chain_gaps (node_id, from_seq);

-- Raw heartbeats, kept for a short time.
CREATE TABLE heartbeats (
    id      INTEGER PRIMARY KEY,
    node_id TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    body    TEXT NOT NULL
);
CREATE INDEX heartbeats_by_node ON heartbeats (node_id, at_ms);
CREATE INDEX heartbeats_by_time ON heartbeats (at_ms);

CREATE TABLE probes (
    probe_id       TEXT PRIMARY KEY,
    node_id        TEXT NOT NULL,
    request_id     TEXT NOT NULL UNIQUE,
    started_at_ms  INTEGER NOT NULL,
    finished_at_ms INTEGER,
    outcome        TEXT,
    message        TEXT,
    model          TEXT,
    tokens_input   INTEGER,
    tokens_output  INTEGER,
    ttft_ms        INTEGER,
    latency_ms     INTEGER
);
CREATE INDEX probes_by_node ON probes (node_id, started_at_ms);

CREATE TABLE lifecycle_events (
    id         INTEGER PRIMARY KEY,
    node_id    TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    detail     TEXT
);
CREATE INDEX lifecycle_events_by_node ON lifecycle_events (node_id, id);

-- Which process runs a task of which there must be only one.
CREATE TABLE task_leases (
    name          TEXT PRIMARY KEY,
    holder        TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
);
