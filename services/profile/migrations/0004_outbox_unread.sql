-- Events that were published while a reader's queue was missing: they go again once it is there.
CREATE TABLE outbox_unread (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type text NOT NULL,
    envelope text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_unread_type ON outbox_unread (type, position);
