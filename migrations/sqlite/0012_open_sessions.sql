-- How many sessions an account has open is counted at each sign-in, over those that have not been ended.
CREATE INDEX session_families_open ON session_families (user_id) WHERE revoked_at_ms IS NULL;
