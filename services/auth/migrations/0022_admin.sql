-- Until when somebody may not log in, and what administrators did. The log only grows: the service's role may add and read,
-- and the trigger says so to roles that stand above privileges.
ALTER TABLE users ADD COLUMN banned_until timestamptz;
CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor uuid, -- nobody: the command line
    action text NOT NULL,
    subject uuid,
    address inet,
    session_id uuid,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX audit_log_subject ON audit_log (subject, id);
CREATE FUNCTION audit_log_only_grows() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'the audit log only grows'; END $$;
CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    EXECUTE FUNCTION audit_log_only_grows();
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM CURRENT_USER;
