-- What an account is asked for beside its password, link or wallet: the code of an authenticator app. The secret is sealed with a
-- key of the data directory. last_step is the step of the code that was accepted last: a code is good once.
CREATE TABLE second_factors (
    user_id       TEXT PRIMARY KEY REFERENCES users (user_id),
    sealed_secret BYTEA NOT NULL,
    last_step     BIGINT NOT NULL,
    set_up_at_ms  BIGINT NOT NULL
);

-- Codes for whoever has lost the app: an HMAC of each, with a key of the data directory. Each is good once.
CREATE TABLE recovery_codes (
    user_id    TEXT NOT NULL REFERENCES second_factors (user_id),
    code_mac   BYTEA NOT NULL,
    used_at_ms BIGINT,
    PRIMARY KEY (user_id, code_mac)
);
