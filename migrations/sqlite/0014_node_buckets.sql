-- The receipts of a node are found within buckets of their order, as those of a hash are: in one index over all receipts each
-- node has pages of its own, in that of the newest bucket all nodes share a few.
DROP INDEX receipts_by_node;
CREATE INDEX receipts_by_node ON receipts (id / 2048, node_id, id DESC);
