-- Accounts elsewhere that a person logs in with. Address and number are identities too, and lie in `users`.
CREATE TABLE identities (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider text NOT NULL CHECK (provider NOT IN ('email', 'phone')),
    provider_id text NOT NULL,
    identity_data jsonb NOT NULL DEFAULT '{}',
    email text,
    last_sign_in_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- An account elsewhere belongs to one person here.
    UNIQUE (provider, provider_id)
);
CREATE INDEX identities_user_id ON identities (user_id, created_at);
