-- Receipts are found by their hash within buckets of their order. Hashes have no order of their own: in one index over all
-- receipts each new one is written to another page, in that of the newest bucket they share a few.
DROP INDEX receipts_by_hash;
CREATE INDEX receipts_by_hash ON receipts ((id / 4096), substr(entry_hash, 1, 8));
