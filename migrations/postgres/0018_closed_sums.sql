-- Up to which minute, which is none of them, a quarter of an hour is closed: of these there are rows over all nodes by minute
-- (named '@' in place of a node) and of each organisation by quarter ('@:' and its id), made from the rows of nodes. Beside it up to
-- where they are being made, and how many transactions have added to minutes before that, which undoes what was made meanwhile.
CREATE TABLE rollups_closed (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    minute  BIGINT NOT NULL,
    closing BIGINT NOT NULL,
    late    BIGINT NOT NULL
);
INSERT INTO rollups_closed (id, minute, closing, late) VALUES (1, 0, 0, 0);
