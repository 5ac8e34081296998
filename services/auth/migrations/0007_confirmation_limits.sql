-- What a new code must not reset: when mails went to an address and when wrong codes came for it, a day back at most.
ALTER TABLE users
    ADD COLUMN mails_sent_at timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN wrong_codes_at timestamptz[] NOT NULL DEFAULT '{}';
