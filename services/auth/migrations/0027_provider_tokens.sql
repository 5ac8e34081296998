-- Refresh tokens that a provider gave for an account elsewhere, kept only to be given back there. A token whose identity is
-- gone, for whatever reason, is due: nothing that deletes a user or an identity has to think of it.
CREATE TABLE provider_tokens (
    id uuid PRIMARY KEY,
    identity_id uuid REFERENCES identities (id) ON DELETE SET NULL,
    provider text NOT NULL,
    client_id text NOT NULL,
    token_sealed bytea NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (identity_id, client_id)
);
CREATE INDEX provider_tokens_due ON provider_tokens (due_at) WHERE identity_id IS NULL;
