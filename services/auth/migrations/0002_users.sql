CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text,
    email_confirmed_at timestamptz,
    confirmation_sent_at timestamptz,
    password_hash text,
    role text NOT NULL DEFAULT 'authenticated',
    user_metadata jsonb NOT NULL DEFAULT '{}',
    app_metadata jsonb NOT NULL DEFAULT '{}',
    is_anonymous boolean NOT NULL DEFAULT false,
    last_sign_in_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- One account an address, whatever its case.
CREATE UNIQUE INDEX users_email ON users (lower(email));
