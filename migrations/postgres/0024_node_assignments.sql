-- Who takes care of a node. org_id is the organisation for which they do, the node's own: whoever goes from it, and a node that
-- goes from it, leave no row behind.
CREATE TABLE node_assignments (
    node_id        TEXT NOT NULL REFERENCES nodes (node_id),
    user_id        TEXT NOT NULL REFERENCES users (user_id),
    org_id         TEXT NOT NULL REFERENCES orgs (org_id),
    assigned_at_ms BIGINT NOT NULL,
    assigned_by    TEXT NOT NULL,
    PRIMARY KEY (node_id, user_id)
);
CREATE INDEX node_assignments_by_user ON node_assignments (user_id, org_id);
