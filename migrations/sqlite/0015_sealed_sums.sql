-- The last minute up to which the rows of rollups are whole: what came later is counted from the receipts at a start. Folded
-- hours are whole, but lie before what they count, so the newest receipt is asked for, too.
CREATE TABLE rollups_sealed (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    minute INTEGER NOT NULL
);
INSERT INTO rollups_sealed (id, minute)
SELECT 1, MAX(COALESCE((SELECT MAX(minute) FROM rollups), 0), COALESCE((SELECT MAX(received_at_ms) / 60000 FROM receipts), 0));
