-- People, their sessions, one-time links, flags and the audit log.
-- Times are unix milliseconds. Secrets are kept as SHA-256; passwords as argon2id strings.

CREATE TABLE orgs (
    org_id        TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- email is kept in lower case; roles is a sorted list with commas; password_hash is null until one is set.
CREATE TABLE users (
    user_id            TEXT PRIMARY KEY,
    email              TEXT NOT NULL UNIQUE,
    password_hash      TEXT,
    roles              TEXT NOT NULL,
    org_id             TEXT NOT NULL REFERENCES orgs (org_id),
    created_at_ms      BIGINT NOT NULL,
    last_sign_in_at_ms BIGINT,
    disabled_at_ms     BIGINT
);

-- One row per sign-in. Revoking it ends every token that came from it.
CREATE TABLE session_families (
    family_id     TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL REFERENCES users (user_id),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT,
    revoke_reason TEXT
);
CREATE INDEX session_families_by_user ON session_families (user_id, created_at_ms);
CREATE INDEX session_families_by_expiry ON session_families (expires_at_ms);

-- One row per pair of tokens. replaced_at_ms says when the refresh token was exchanged for its child.
CREATE TABLE session_tokens (
    refresh_hash          BYTEA PRIMARY KEY,
    access_hash           BYTEA NOT NULL UNIQUE,
    family_id             TEXT NOT NULL REFERENCES session_families (family_id),
    issued_at_ms          BIGINT NOT NULL,
    access_expires_at_ms  BIGINT NOT NULL,
    refresh_expires_at_ms BIGINT NOT NULL,
    replaced_at_ms        BIGINT
);
CREATE INDEX session_tokens_by_family ON session_tokens (family_id, issued_at_ms);

-- purpose is setup (no user yet) or sign_in.
CREATE TABLE one_time_links (
    token_hash    BYTEA PRIMARY KEY,
    purpose       TEXT NOT NULL,
    user_id       TEXT REFERENCES users (user_id),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    used_at_ms    BIGINT
);
CREATE INDEX one_time_links_by_expiry ON one_time_links (expires_at_ms);

-- Only flags that were changed; the others have their default.
CREATE TABLE flags (
    name          TEXT PRIMARY KEY,
    enabled       BOOLEAN NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    updated_by    TEXT NOT NULL
);

-- Insert only. detail is a JSON object.
CREATE TABLE audit (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms      BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    detail     TEXT,
    ip         TEXT,
    request_id TEXT
);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_by_object ON audit (object, id);
