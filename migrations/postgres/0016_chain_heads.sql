-- The ends of chains. Here the row of the key always says it, because several servers may store receipts: who has the lock on
-- the row knows the end.
CREATE VIEW chain_heads AS
SELECT id AS node_key_id, head_seq AS seq, head_hash AS entry_hash FROM node_keys;
