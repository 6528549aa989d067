-- What the token counts of a receipt are worth, as its node says; null where the receipt does not say.
-- Sums tell how many of their receipts have a count that nobody knows: for those of before it is not known and stays 0.

ALTER TABLE receipts ADD COLUMN tokens_source TEXT;
ALTER TABLE rollups ADD COLUMN tokens_not_counted INTEGER NOT NULL DEFAULT 0;
