-- Second factors. One that nobody has verified yet expires, and takes its challenges with it.
CREATE TABLE factors (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('totp', 'phone', 'webauthn', 'recovery_code')),
    name text NOT NULL,
    seed_sealed bytea,
    -- TOTP: the newest time step whose code was accepted; no code of it or before it counts again.
    last_step bigint,
    -- When wrong codes came, a day back at most, and the places (hashed) where right ones came from.
    wrong_codes_at timestamptz[] NOT NULL DEFAULT '{}',
    places bytea[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_challenged_at timestamptz,
    -- NULL once it is verified.
    expires_at timestamptz
);
CREATE UNIQUE INDEX factors_name ON factors (user_id, name);
CREATE UNIQUE INDEX factors_one_set_of_recovery_codes ON factors (user_id) WHERE kind = 'recovery_code';
CREATE INDEX factors_expires_at ON factors (expires_at) WHERE expires_at IS NOT NULL;

-- What a session has to answer: one question for each factor, the newest.
CREATE TABLE factor_challenges (
    id uuid PRIMARY KEY,
    factor_id uuid NOT NULL REFERENCES factors (id) ON DELETE CASCADE,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    consumed_at timestamptz,
    expires_at timestamptz NOT NULL,
    UNIQUE (factor_id, session_id)
);
CREATE INDEX factor_challenges_session_id ON factor_challenges (session_id);
CREATE INDEX factor_challenges_expires_at ON factor_challenges (expires_at);

CREATE TABLE recovery_codes (
    factor_id uuid NOT NULL REFERENCES factors (id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (factor_id, code_hash)
);

-- The factor that lifted the session to aal2: without it, the session falls back.
ALTER TABLE sessions ADD COLUMN proved_by uuid;
