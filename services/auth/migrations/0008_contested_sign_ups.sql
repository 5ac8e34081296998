-- An address that nobody confirmed yet, and that people signed up with under different passwords: none of them counts.
ALTER TABLE users ADD COLUMN is_contested boolean NOT NULL DEFAULT false;
