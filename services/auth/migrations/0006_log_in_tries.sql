-- Tries at the password of an address from one place, counted before they are judged; a log-in that succeeds clears them.
CREATE TABLE log_in_tries (
    bucket bytea PRIMARY KEY,
    tries integer NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX log_in_tries_started_at ON log_in_tries (started_at);
