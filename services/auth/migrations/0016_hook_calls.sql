-- Calls of hooks that bring a code to somebody: made in the transaction of the code, so that neither is without the other.
CREATE TABLE hook_calls (
    id uuid PRIMARY KEY,
    hook text NOT NULL,
    payload_sealed bytea NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX hook_calls_due_at ON hook_calls (due_at);
