-- The log for as long as it is kept, read by whom, what and when; nobody can change it but these two rules, which are the owner's.
CREATE TABLE audit_retention (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    kept interval NOT NULL
);
INSERT INTO audit_retention (kept) VALUES (interval '400 days');
ALTER TABLE audit_log ADD CHECK (octet_length(client) <= 1000 AND octet_length(action) <= 100 AND octet_length(details::text) <= 4000);

DROP INDEX audit_log_subject;
CREATE INDEX audit_log_at ON audit_log (at, id);
CREATE INDEX audit_log_subject ON audit_log (subject, at, id);
CREATE INDEX audit_log_actor ON audit_log (actor, at, id);
CREATE INDEX audit_log_action ON audit_log (action, at, id);

-- Rows go when they are old, and no sooner: what asks for it has no say in how old.
CREATE FUNCTION audit_log_shorten(batch integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE deleted integer;
BEGIN
    PERFORM set_config('gatehouse.audit_rule', 'retention', true);
    DELETE FROM public.audit_log WHERE id IN (
        SELECT id FROM public.audit_log
        WHERE at < now() - (SELECT kept FROM public.audit_retention)
        ORDER BY at, id LIMIT least(batch, 10000)
    );
    GET DIAGNOSTICS deleted = ROW_COUNT;
    PERFORM set_config('gatehouse.audit_rule', '', true);
    RETURN deleted;
END
$$;

-- Of somebody who is gone stays what was done and when, under an id that says nothing any more.
CREATE FUNCTION audit_log_forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    PERFORM set_config('gatehouse.audit_rule', 'erasure', true);
    UPDATE public.audit_log SET address = NULL, client = '' WHERE actor IN (SELECT id FROM gone);
    UPDATE public.audit_log
    SET details = '{}', address = CASE WHEN actor IS NOT NULL THEN address END,
        client = CASE WHEN actor IS NOT NULL THEN client ELSE '' END
    WHERE subject IN (SELECT id FROM gone);
    PERFORM set_config('gatehouse.audit_rule', '', true);
    RETURN NULL;
END
$$;
CREATE TRIGGER users_are_forgotten AFTER DELETE ON users REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_forget();

-- The net below the privileges, where one role does everything.
CREATE OR REPLACE FUNCTION audit_log_only_grows() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    IF (TG_OP, current_setting('gatehouse.audit_rule', true)) IN (('DELETE', 'retention'), ('UPDATE', 'erasure')) THEN
        RETURN NULL;
    END IF;
    RAISE insufficient_privilege USING MESSAGE = 'the audit log only grows';
END
$$;
GRANT UPDATE, DELETE ON audit_log TO CURRENT_USER;
