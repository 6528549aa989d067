-- What people asked nodes to do. A row waits for its node's session, so that neither a node that is away nor a server that
-- is started anew loses it.

-- state: queued → sent, or expired where the node did not come in time. A kind that nodes acknowledge goes on: acked → done.
-- body is the frame that the node is sent, JSON of protocol::frame::Control.
CREATE TABLE node_orders (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id       TEXT NOT NULL REFERENCES nodes (node_id),
    org_id        TEXT,
    kind          TEXT NOT NULL,
    body          TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    state         TEXT NOT NULL,
    sent_at_ms    BIGINT
);
-- One order of a kind waits for a node; and those that wait are found by their node.
CREATE UNIQUE INDEX node_orders_queued ON node_orders (node_id, kind) WHERE state = 'queued';
CREATE INDEX node_orders_by_time ON node_orders (created_at_ms);
