-- Devices that a person has logged in with, known by a hash, and which of them the person was told of.
CREATE TABLE known_devices (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    fingerprint bytea NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    told_at timestamptz,
    PRIMARY KEY (user_id, fingerprint)
);

-- Failed log-ins of a day by account, so that the audit log needs no row for each. Who has no account shares a place.
CREATE TABLE failed_log_ins (
    account bytea PRIMARY KEY,
    failures integer NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX failed_log_ins_started_at ON failed_log_ins (started_at);
