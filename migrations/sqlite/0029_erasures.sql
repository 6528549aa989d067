-- Whose facts the audit log is to lose: who deleted their account. A row is swept at once, and once more when everything that was
-- written of them before must be there and is sealed, since only what is sealed can be erased without a break in the chain.
CREATE TABLE erasures (
    subject     TEXT PRIMARY KEY,
    asked_at_ms INTEGER NOT NULL,
    is_swept    BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX erasures_by_turn ON erasures (is_swept, asked_at_ms);
