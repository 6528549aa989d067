-- A node may pass from one organisation to another. Whose a receipt is, the key says that signed it: a key belongs to one
-- organisation for ever, and the next one of the node begins with a key of its own. Sums are of one node and one organisation.
ALTER TABLE node_keys ADD COLUMN org_id TEXT;
UPDATE node_keys SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = node_keys.node_id);
CREATE INDEX node_keys_by_org ON node_keys (org_id, node_id);

-- org_id is empty where there is none, and in the rows over all nodes.
UPDATE rollups SET org_id = '' WHERE org_id IS NULL;
ALTER TABLE rollups ALTER COLUMN org_id SET DEFAULT '';
ALTER TABLE rollups ALTER COLUMN org_id SET NOT NULL;
ALTER TABLE rollups DROP CONSTRAINT rollups_pkey;
ALTER TABLE rollups ADD PRIMARY KEY (node_id, minute, region, org_id);
