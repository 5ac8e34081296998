-- What a deed came from and what else is to be known of it: words and numbers, never a secret.
ALTER TABLE audit_log ADD COLUMN client text NOT NULL DEFAULT '', ADD COLUMN details jsonb NOT NULL DEFAULT '{}';
