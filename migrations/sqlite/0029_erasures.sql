-- Whose facts the audit log is to lose: who deleted their account. A row stays until everything that was written of them before is
-- sealed, since only what is sealed can be erased without a break in the chain.
CREATE TABLE erasures (
    subject     TEXT PRIMARY KEY,
    asked_at_ms INTEGER NOT NULL
);
