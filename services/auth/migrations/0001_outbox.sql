-- Events that were decided in a transaction of this database and are not at the broker yet.
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    envelope text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
