-- Keys of WebAuthn: passkeys, which log in, and the keys of factors, which do not.
CREATE TABLE webauthn_credentials (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    factor_id uuid UNIQUE REFERENCES factors (id) ON DELETE CASCADE,
    credential_id bytea NOT NULL UNIQUE,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    aaguid uuid NOT NULL,
    is_backup_eligible boolean NOT NULL,
    is_backed_up boolean NOT NULL,
    transports text[] NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz
);
CREATE INDEX webauthn_credentials_user_id ON webauthn_credentials (user_id);

-- Challenges that were answered, until they would have expired: none is answered twice. Those that nobody answers
-- are nowhere (see challenges.py), so a flood of questions fills nothing.
CREATE TABLE used_challenges (
    id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_challenges_expires_at ON used_challenges (expires_at);
