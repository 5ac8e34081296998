-- Finished messages are deleted after MESSAGE_RETENTION_S, the oldest first; their deliveries go with them.
CREATE INDEX messages_finished_at ON messages (finished_at) WHERE finished_at IS NOT NULL;
