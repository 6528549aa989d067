-- Receipts are found by their hash, whole or by its beginning. Eight bytes tell them apart and keep the index small.
CREATE INDEX receipts_by_hash ON receipts (substr(entry_hash, 1, 8));
