-- Keys with which programs act for a person in one organisation. id is the public part, secret_hash the SHA-256 of the rest.
-- scopes are names with spaces between; models are a JSON list, null where the key may use all.
CREATE TABLE api_keys (
    id              TEXT PRIMARY KEY,
    secret_hash     BYTEA NOT NULL,
    user_id         TEXT NOT NULL REFERENCES users (user_id),
    org_id          TEXT NOT NULL REFERENCES orgs (org_id),
    name            TEXT NOT NULL,
    scopes          TEXT NOT NULL,
    models          TEXT,
    budget_nano_usd BIGINT,
    created_at_ms   BIGINT NOT NULL,
    expires_at_ms   BIGINT NOT NULL,
    revoked_at_ms   BIGINT,
    last_used_at_ms BIGINT,
    last_used_ip    TEXT
);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at_ms, id);
CREATE INDEX api_keys_by_expiry ON api_keys (expires_at_ms);

-- The key that made an enrolment token, which ends with it; null for those that a person made.
ALTER TABLE enrolment_tokens ADD COLUMN key_id TEXT;
CREATE INDEX enrolment_tokens_by_key ON enrolment_tokens (key_id) WHERE key_id IS NOT NULL;
