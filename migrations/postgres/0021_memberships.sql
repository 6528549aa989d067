-- A person may be in several organisations, in each with other roles. A sign-in acts for one of them at a time;
-- users.org_id says with which one the next begins. roles is a sorted list with commas.
INSERT INTO orgs (org_id, name, created_at_ms) VALUES ('main', 'main', CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT))
    ON CONFLICT (org_id) DO NOTHING;
ALTER TABLE orgs ADD COLUMN closed_at_ms BIGINT;
CREATE UNIQUE INDEX orgs_by_name ON orgs (name);

CREATE TABLE memberships (
    user_id       TEXT NOT NULL REFERENCES users (user_id),
    org_id        TEXT NOT NULL REFERENCES orgs (org_id),
    roles         TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    created_by    TEXT NOT NULL,
    PRIMARY KEY (user_id, org_id)
);
CREATE INDEX memberships_by_org ON memberships (org_id, user_id);
INSERT INTO memberships (user_id, org_id, roles, created_at_ms, created_by)
    SELECT user_id, org_id, roles, created_at_ms, 'system' FROM users;
ALTER TABLE users DROP COLUMN roles;
CREATE INDEX users_by_time ON users (created_at_ms, user_id);

-- Null where its person is in no organisation.
ALTER TABLE session_families ADD COLUMN org_id TEXT;
UPDATE session_families SET org_id = (SELECT u.org_id FROM users u WHERE u.user_id = session_families.user_id);

-- Who made a link: one that a person made is good while they may make one. Null for those of an older version.
ALTER TABLE one_time_links ADD COLUMN created_by TEXT;
