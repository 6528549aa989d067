-- What a person is told of each sign-in: how, from where and with what it began. It goes with the row.
ALTER TABLE session_families ADD COLUMN method TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE session_families ADD COLUMN ip TEXT;
ALTER TABLE session_families ADD COLUMN user_agent TEXT;
