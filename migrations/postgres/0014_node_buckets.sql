-- The buckets of this migration are for SQLite, which writes whole pages; here the receipts of a node keep one index.
SELECT 1;
