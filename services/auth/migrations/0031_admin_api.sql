-- Roles beside the one in `role`, when somebody was invited, and an index to find addresses by how they begin; sessions in
-- which an administrator acts for somebody: who, from which session of theirs, why, and until when.
ALTER TABLE users ADD COLUMN roles text[] NOT NULL DEFAULT '{}', ADD COLUMN invited_at timestamptz;
CREATE INDEX users_email_prefix ON users ((lower(email) COLLATE "C"));
ALTER TABLE sessions
    ADD COLUMN impersonated_by uuid,
    ADD COLUMN impersonated_from uuid,
    ADD COLUMN impersonation_reason text,
    ADD COLUMN not_after timestamptz;
CREATE INDEX sessions_impersonated_from ON sessions (impersonated_from)
    WHERE ended_at IS NULL AND impersonated_from IS NOT NULL;
CREATE INDEX sessions_not_after ON sessions (not_after) WHERE ended_at IS NULL AND not_after IS NOT NULL;
