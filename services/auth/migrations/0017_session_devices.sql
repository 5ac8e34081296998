-- What a person is shown of a device, and an index for the clean-up whose column does not move with every refresh: so that
-- a refresh writes no index. Of sessions that are there it counts from today.
ALTER TABLE sessions
    ADD COLUMN platform text NOT NULL DEFAULT '',
    ADD COLUMN app_version text NOT NULL DEFAULT '',
    ADD COLUMN seen_on date NOT NULL DEFAULT current_date,
    SET (fillfactor = 80);
CREATE INDEX sessions_seen_on ON sessions (seen_on) WHERE ended_at IS NULL;
DROP INDEX sessions_refreshed_at;
