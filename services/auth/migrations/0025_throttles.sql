-- Tries, counted before they are judged: when the next one may be judged, and when all are forgotten. Not logged: a crash
-- may forget them, and a flood costs no disk. `log_in_tries` stays for the version before this one.
CREATE UNLOGGED TABLE throttles (
    bucket bytea PRIMARY KEY,
    tries float8 NOT NULL,
    stay_s float8 NOT NULL,
    counted_at timestamptz NOT NULL,
    is_judged boolean NOT NULL,
    free_at timestamptz NOT NULL,
    forgotten_at timestamptz NOT NULL
);
CREATE INDEX throttles_forgotten_at ON throttles (forgotten_at);
-- The places (hashed) where somebody logged in, the last one first: there no stranger slows them down.
ALTER TABLE users ADD COLUMN places bytea[] NOT NULL DEFAULT '{}';
