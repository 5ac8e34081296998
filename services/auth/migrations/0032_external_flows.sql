-- People on their way to a provider and back. The state is hashed, and good in one browser, whose cookie is hashed beside it:
-- what the provider is to prove (PKCE, nonce) is made of the two, and lies nowhere.
CREATE TABLE external_flows (
    state_hash bytea PRIMARY KEY,
    browser_hash bytea, -- none, until a browser has opened what an app got to link an account
    provider text NOT NULL,
    place text NOT NULL,
    is_page boolean NOT NULL DEFAULT false, -- the place is a page of ours, which lets the browser in
    code_challenge text,
    code_challenge_method text,
    session_id uuid REFERENCES sessions (id) ON DELETE CASCADE, -- to whose user the account is to be linked
    asked jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX external_flows_session_id ON external_flows (session_id);
CREATE INDEX external_flows_expires_at ON external_flows (expires_at);

-- What goes to the app with the session: tokens of the provider, and the account that is linked only then.
ALTER TABLE auth_codes ADD COLUMN carried_sealed bytea;
