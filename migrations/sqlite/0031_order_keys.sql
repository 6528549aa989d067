-- Keys with which processes of the control plane have signed work orders and countersignatures: the public halves. The private
-- ones are in the memory of their process alone. A key is never removed: what it signed is verified for ever.
CREATE TABLE order_keys (
    kid           TEXT PRIMARY KEY,
    public_key    BLOB NOT NULL UNIQUE,
    not_before_ms INTEGER NOT NULL,
    not_after_ms  INTEGER NOT NULL CHECK (not_after_ms >= not_before_ms),
    created_at_ms INTEGER NOT NULL
);
CREATE INDEX order_keys_by_time ON order_keys (created_at_ms, kid);
CREATE INDEX order_keys_by_end ON order_keys (not_after_ms);
