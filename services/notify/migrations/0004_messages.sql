-- Messages to be told. `params` may hold links and codes: they are erased when the last delivery is finished.
CREATE TABLE messages (
    id uuid PRIMARY KEY,
    sender_id uuid,
    user_id uuid,
    email text,
    channels text[] NOT NULL,
    template text NOT NULL,
    params jsonb NOT NULL DEFAULT '{}',
    title text,
    body text,
    data jsonb NOT NULL DEFAULT '{}',
    priority text NOT NULL DEFAULT 'high' CHECK (priority IN ('high', 'normal')),
    collapse_key text,
    locale text,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    planned_at timestamptz,
    replan_at timestamptz NOT NULL DEFAULT now() + interval '10 minutes',
    finished_at timestamptz
);
CREATE INDEX messages_unplanned ON messages (replan_at) WHERE planned_at IS NULL;
CREATE INDEX messages_user_id ON messages (user_id, created_at DESC, id DESC);
CREATE INDEX messages_sender_id ON messages (sender_id, created_at DESC, id DESC);

-- Idempotency-Key: what a sender asked for under a key, and the message that came of it.
CREATE TABLE idempotency_keys (
    sender_id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    message_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sender_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
