-- What few receipts have is found among one's own without a walk over all of them, and what failed in a region without one over
-- all that failed. They are in none of these but for what few have, so that ingest pays nothing for the others.
CREATE INDEX receipts_not_ok_by_region ON receipts (status, region, id) WHERE status <> 'ok';
CREATE INDEX receipts_own_not_ok ON receipts (org_id, status, id) WHERE status <> 'ok';
CREATE INDEX receipts_own_not_ok_by_region ON receipts (org_id, status, region, id) WHERE status <> 'ok';
CREATE INDEX receipts_own_hedged ON receipts (org_id, id) WHERE hedged = TRUE;
