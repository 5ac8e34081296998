CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Refresh tokens are numbered: the newest one issued, and the last one that was exchanged (see rotation.py).
    refresh_issued integer NOT NULL DEFAULT 0,
    refresh_accepted integer NOT NULL DEFAULT -1,
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    aal text NOT NULL DEFAULT 'aal1' CHECK (aal IN ('aal1', 'aal2')),
    amr jsonb NOT NULL,
    device_name text NOT NULL,
    user_agent text NOT NULL,
    ip inet,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    end_reason text
);
CREATE INDEX sessions_user_id ON sessions (user_id, id);
-- For the clean-up of sessions that ended, and of those that nobody refreshes any more.
CREATE INDEX sessions_ended_at ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_refreshed_at ON sessions (refreshed_at) WHERE ended_at IS NULL;
