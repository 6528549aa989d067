-- Keys with which processes of the control plane have signed work orders and countersignatures: the public halves. The private
-- ones are in the memory of their process alone. A key is never removed: what it signed is verified for ever.
CREATE TABLE order_keys (
    kid           TEXT PRIMARY KEY,
    public_key    BYTEA NOT NULL UNIQUE,
    not_before_ms BIGINT NOT NULL,
    not_after_ms  BIGINT NOT NULL CHECK (not_after_ms >= not_before_ms),
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX order_keys_by_time ON order_keys (created_at_ms, kid);
CREATE INDEX order_keys_by_end ON order_keys (not_after_ms);
