-- Numbers are kept in E.164 without the plus. A new address or number takes the place of the old one once it is confirmed.
ALTER TABLE users
    ADD COLUMN phone text,
    ADD COLUMN phone_confirmed_at timestamptz,
    ADD COLUMN new_email text,
    ADD COLUMN email_change_sent_at timestamptz,
    ADD COLUMN new_phone text,
    ADD COLUMN phone_change_sent_at timestamptz;
CREATE UNIQUE INDEX users_phone ON users (phone);
