-- A request id is unique per node; every fact row says whose node it was; a receipt's region is the one that the network
-- has its node in, and what the node says of it stays in the entry alone.

ALTER TABLE receipts DROP CONSTRAINT receipts_request_id_key;
ALTER TABLE receipts ADD COLUMN org_id TEXT;
UPDATE receipts r SET org_id = n.org_id, region = n.region FROM nodes n WHERE n.node_id = r.node_id;
UPDATE receipts SET region = '' WHERE region IS NULL;
ALTER TABLE receipts ALTER COLUMN region SET NOT NULL;
CREATE UNIQUE INDEX receipts_by_request ON receipts (request_id, node_id);
CREATE INDEX receipts_by_org ON receipts (org_id, id);

ALTER TABLE heartbeats ADD COLUMN org_id TEXT;
ALTER TABLE probes ADD COLUMN org_id TEXT;
ALTER TABLE lifecycle_events ADD COLUMN org_id TEXT;
ALTER TABLE receipt_evidence ADD COLUMN org_id TEXT;
ALTER TABLE chain_gaps ADD COLUMN org_id TEXT;
ALTER TABLE rollups ADD COLUMN org_id TEXT;
UPDATE heartbeats SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = heartbeats.node_id);
UPDATE probes SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = probes.node_id);
UPDATE lifecycle_events SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = lifecycle_events.node_id);
UPDATE receipt_evidence SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = receipt_evidence.node_id);
UPDATE chain_gaps SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = chain_gaps.node_id);
UPDATE rollups SET org_id = (SELECT n.org_id FROM nodes n WHERE n.node_id = rollups.node_id);
CREATE INDEX heartbeats_by_org ON heartbeats (org_id, at_ms);
CREATE INDEX probes_by_org ON probes (org_id, started_at_ms);
CREATE INDEX lifecycle_events_by_org ON lifecycle_events (org_id, id);
CREATE INDEX receipt_evidence_by_org ON receipt_evidence (org_id, id);
CREATE INDEX chain_gaps_by_org ON chain_gaps (org_id, id);
CREATE INDEX rollups_by_org ON rollups (org_id, minute);

-- Ingest reads the gaps of a chain at once.
CREATE INDEX chain_gaps_by_key ON chain_gaps (node_key_id, from_seq);
