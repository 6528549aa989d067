-- The beginning of an id is looked for among one's own receipts, however many ids of others begin so.
CREATE INDEX receipts_by_org_request ON receipts (org_id, request_id);
