-- The languages a request asked for, best first; they count after what is known of the person.
ALTER TABLE messages ADD COLUMN languages text[] NOT NULL DEFAULT '{}';
