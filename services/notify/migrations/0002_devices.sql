-- Installations of the app. One belongs to one user and one session at a time, and so does a push token.
CREATE TABLE devices (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    session_id uuid NOT NULL,
    platform text NOT NULL CHECK (platform IN ('android', 'ios')),
    token text NOT NULL,
    app_id text,
    environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
    locale text,
    timezone text,
    app_version text,
    name text,
    created_at timestamptz NOT NULL DEFAULT now(),
    registered_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (platform, token)
);
CREATE INDEX devices_user_id ON devices (user_id, id);
CREATE INDEX devices_session_id ON devices (session_id);

-- Sessions that ended: kept until their last access token has expired, so that it cannot register a device again.
CREATE TABLE revoked_sessions (
    session_id uuid PRIMARY KEY,
    forget_at timestamptz NOT NULL
);
CREATE INDEX revoked_sessions_forget_at ON revoked_sessions (forget_at);
