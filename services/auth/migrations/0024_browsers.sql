-- Sessions of browsers on the provider's pages: the cookie that shows them, as a hash, and when it was last seen.
CREATE TABLE browsers (
    session_id uuid PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX browsers_seen_at ON browsers (seen_at);
