-- The OAuth provider: who may ask, what people agreed to, and what came of it.
CREATE TABLE oauth_clients (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    -- SHA-256 of 256 random bits; a public client has none.
    secret_hash bytea,
    auth_method text NOT NULL CHECK (auth_method IN ('none', 'client_secret_basic', 'client_secret_post')),
    redirect_uris text[] NOT NULL,
    post_logout_redirect_uris text[] NOT NULL DEFAULT '{}',
    grant_types text[] NOT NULL,
    scopes text[] NOT NULL,
    resources text[] NOT NULL DEFAULT '{}',
    is_first_party boolean NOT NULL DEFAULT false,
    client_uri text NOT NULL DEFAULT '',
    logo_uri text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((secret_hash IS NULL) = (auth_method = 'none'))
);
-- Authorization requests that wait for somebody to log in or to agree.
CREATE TABLE oauth_requests (
    id text PRIMARY KEY,
    client_id uuid NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    parameters jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_requests_client_id ON oauth_requests (client_id);
CREATE INDEX oauth_requests_expires_at ON oauth_requests (expires_at);
CREATE TABLE oauth_consents (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id uuid NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    scopes text[] NOT NULL,
    resources text[] NOT NULL DEFAULT '{}',
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX oauth_consents_client_id ON oauth_consents (client_id);
-- A grant begins as a code and is then a family of refresh tokens, numbered like those of a session (see rotation.py).
-- It lives no longer than its session: the browser's, or its own where the client is the house's; with none it stands alone.
CREATE TABLE oauth_grants (
    id uuid PRIMARY KEY,
    client_id uuid NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id uuid REFERENCES sessions (id) ON DELETE CASCADE,
    opens_session boolean NOT NULL, -- the house's own API was asked for: the session is the grant's own
    scopes text[] NOT NULL,
    resource text,
    redirect_uri text NOT NULL,
    code_hash bytea NOT NULL UNIQUE,
    code_challenge text NOT NULL,
    nonce text,
    auth_time bigint NOT NULL,
    aal text NOT NULL,
    amr jsonb NOT NULL,
    code_used_at timestamptz,
    refresh_issued integer NOT NULL DEFAULT 0,
    refresh_accepted integer NOT NULL DEFAULT -1,
    refreshed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_grants_user_id ON oauth_grants (user_id, client_id, id);
CREATE INDEX oauth_grants_client_id ON oauth_grants (client_id);
CREATE INDEX oauth_grants_session_id ON oauth_grants (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX oauth_grants_expires_at ON oauth_grants (expires_at);
