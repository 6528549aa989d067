-- What this program knows of the installation itself, and what keeping tables small needs.

-- One row per name: master_key_fingerprint, write_check (the last write that /readyz tried).
CREATE TABLE installation (
    name          TEXT PRIMARY KEY,
    value         TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL
);

-- Whether the signature held. False only while the flag enable_signature_verify is off.
ALTER TABLE receipts ADD COLUMN verified BOOLEAN NOT NULL DEFAULT TRUE;

-- Old rows are found by these.
CREATE INDEX enrolment_tokens_by_expiry ON enrolment_tokens (expires_at_ms);
CREATE INDEX chain_gaps_by_time ON chain_gaps (detected_at_ms);
CREATE INDEX probes_by_time ON probes (started_at_ms);
