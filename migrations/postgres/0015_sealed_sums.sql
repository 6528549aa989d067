-- The last minute up to which the rows of rollups are whole. Here they always are: each transaction that stores receipts writes
-- them, because several servers may count for one network.
CREATE TABLE rollups_sealed (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    minute BIGINT NOT NULL
);
INSERT INTO rollups_sealed (id, minute) VALUES (1, 9223372036854775807);
