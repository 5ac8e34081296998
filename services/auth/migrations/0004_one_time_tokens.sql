-- Secrets that work once. Only their hashes are here; `attempts` counts guesses at the six digits.
CREATE TABLE one_time_tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind text NOT NULL,
    email text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    code_hash bytea NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    -- A newer secret of one kind takes the place of the older.
    UNIQUE (user_id, kind)
);
CREATE INDEX one_time_tokens_email ON one_time_tokens (lower(email), kind);
CREATE INDEX one_time_tokens_expires_at ON one_time_tokens (expires_at);
