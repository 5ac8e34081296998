-- One message on its way to one device or address.
-- Unfinished rows have one clock, next_attempt_at: nobody may take the row before it. Taking it for sending pushes it
-- ahead by the lease, so that a sender that dies leaves a row that another may take later.
CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    message_id uuid NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    channel text NOT NULL CHECK (channel IN ('fcm', 'apns', 'email')),
    target text NOT NULL,
    device_id uuid,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'retrying', 'sent', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    outcome text,
    reason text,
    provider_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (message_id, channel, target)
);
CREATE INDEX deliveries_unfinished ON deliveries (next_attempt_at) WHERE finished_at IS NULL;
