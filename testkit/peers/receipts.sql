-- The table of a peer: the columns of our own receipts that a receipt fills, and the one index that it cannot do without.
CREATE TABLE receipts (
    node_id        TEXT NOT NULL,
    request_id     TEXT NOT NULL,
    seq            BIGINT,
    received_at_ms BIGINT NOT NULL,
    version        TEXT NOT NULL,
    region         TEXT,
    model_id       TEXT NOT NULL,
    runtime        TEXT,
    source         TEXT,
    status         TEXT,
    ts_start       BIGINT NOT NULL,
    ts_end         BIGINT NOT NULL,
    tokens_input   BIGINT NOT NULL,
    tokens_output  BIGINT NOT NULL,
    ttft_ms        BIGINT,
    latency_ms     BIGINT,
    p95_ms         BIGINT,
    entry_hash     BYTEA NOT NULL,
    entry          BYTEA NOT NULL,
    PRIMARY KEY (node_id, request_id)
);
