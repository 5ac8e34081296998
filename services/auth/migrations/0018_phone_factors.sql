-- Phone numbers as second factors, and the code that a challenge asks for. Messages are counted for the user, a day back
-- at most: a factor that is made anew brings no new messages.
ALTER TABLE factors ADD COLUMN phone text;
ALTER TABLE factor_challenges ADD COLUMN code_hash bytea;
ALTER TABLE users ADD COLUMN factor_texts_at timestamptz[] NOT NULL DEFAULT '{}';
