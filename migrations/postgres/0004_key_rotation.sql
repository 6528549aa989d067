-- How a node came to a key, and where the chain of a key that it gave up ends.
-- rotation and closing are the signed statements as JSON; both are null for the key that a node enrolled with and uses.

ALTER TABLE node_keys ADD COLUMN rotation TEXT;
ALTER TABLE node_keys ADD COLUMN closing TEXT;
ALTER TABLE node_keys ADD COLUMN closed_seq BIGINT;

-- A node has one key in use.
CREATE UNIQUE INDEX node_keys_in_use ON node_keys (node_id) WHERE valid_to_ms IS NULL;
