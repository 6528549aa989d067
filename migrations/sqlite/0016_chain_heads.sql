-- The ends of chains. The last stored receipt of a chain says its end, so that a receipt does not cost a write to the row of its
-- key as well; the row says it where the last place holds no receipt (a gap, a refused one), and where the receipts are gone.
-- A migration that makes either table anew drops this first, and makes it again.
CREATE VIEW chain_heads AS
SELECT k.id AS node_key_id,
       CASE WHEN r.seq > k.head_seq THEN r.seq ELSE k.head_seq END AS seq,
       CASE WHEN r.seq > k.head_seq THEN r.entry_hash ELSE k.head_hash END AS entry_hash
FROM node_keys k
LEFT JOIN receipts r ON r.id =
    (SELECT l.id FROM receipts l WHERE l.node_key_id = k.id AND l.seq IS NOT NULL ORDER BY l.seq DESC LIMIT 1);
