-- Old events are found by their time, as the rows of every other table that does not stay for ever.
CREATE INDEX lifecycle_events_by_time ON lifecycle_events (at_ms);
