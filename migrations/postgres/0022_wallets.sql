-- Accounts of chains whose keys have signed that they are a person's. kind and address are as dgon_control_plane_model::identity
-- displays them: one account, one person.
CREATE TABLE wallets (
    kind         TEXT NOT NULL,
    address      TEXT NOT NULL,
    user_id      TEXT NOT NULL REFERENCES users (user_id),
    linked_at_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, address)
);
CREATE INDEX wallets_by_user ON wallets (user_id, linked_at_ms);

-- Requests to sign that were answered, until they have expired: each is good for one answer.
CREATE TABLE spent_nonces (
    nonce_hash    BYTEA PRIMARY KEY,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX spent_nonces_by_expiry ON spent_nonces (expires_at_ms);
