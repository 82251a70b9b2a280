-- +goose Up
-- A role that serves and owns nothing: it makes and drops partitions through two functions that run as their
-- owner. These believe nothing of what they are told: no other table than our two, no day that this server's
-- clock does not bear out. deploy/sql/roles.sql has the roles and their grants.
--
-- Functions lock no table: nobody who logs in or refreshes waits. Older binaries call them as they did.
SET LOCAL lock_timeout = '5s';

-- The oldest binary that still works on this schema, by the newest migration it knows. A migration that takes
-- away what older binaries need raises it; those then say that they are not ready.
CREATE FUNCTION kindred_oldest_binary() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 13::bigint';

ALTER FUNCTION kindred_ensure_partitions(regclass, date, date) RENAME TO kindred_make_weeks;
ALTER FUNCTION kindred_drop_past_partition(regclass, date) RENAME TO kindred_drop_past_week;

-- For the lifetimes that can be set (400 days) and eight weeks ahead, from last week on.
-- +goose StatementBegin
CREATE FUNCTION kindred_ensure_partitions(parent regclass, first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    IF parent IN ('refresh_tokens'::regclass, 'audit_events'::regclass) AND first_day >= today - 7 AND last_day <= today + 400 + 9 * 7 THEN
        RETURN kindred_make_weeks(parent, first_day, last_day);
    END IF;
    RAISE EXCEPTION 'partitions of % are not made from % to %: only of refresh_tokens and audit_events, from last week until 463 days ahead',
        parent, first_day, last_day;
END
$$;
-- +goose StatementEnd

-- The day before this one, the shortest time that can be set, stays in the audit trail in any case.
-- +goose StatementBegin
CREATE FUNCTION kindred_drop_past_partition(parent regclass, before date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    IF parent = 'refresh_tokens'::regclass AND before <= today OR parent = 'audit_events'::regclass AND before < today THEN
        RETURN kindred_drop_past_week(parent, before);
    END IF;
    RAISE EXCEPTION 'partitions of % are dropped once they are past, and % is not: only of refresh_tokens and audit_events', parent, before;
END
$$;
-- +goose StatementEnd

-- Within them names mean what they mean to the owner, whatever the caller's search path is and whatever temporary
-- tables he has. Not everybody may call them any more; who served until now under a role of his own still may.
-- +goose StatementBegin
DO $$
DECLARE
    called text;
    caller regrole;
BEGIN
    FOREACH called IN ARRAY ARRAY['kindred_ensure_partitions(regclass, date, date)', 'kindred_drop_past_partition(regclass, date)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', called, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', called);
        FOR caller IN SELECT DISTINCT acl.grantee FROM pg_class c CROSS JOIN aclexplode(c.relacl) acl
                       WHERE c.oid = 'refresh_tokens'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> 0 LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', called, caller);
        END LOOP;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP FUNCTION kindred_oldest_binary();
DROP FUNCTION kindred_ensure_partitions(regclass, date, date);
DROP FUNCTION kindred_drop_past_partition(regclass, date);
ALTER FUNCTION kindred_make_weeks(regclass, date, date) RENAME TO kindred_ensure_partitions;
ALTER FUNCTION kindred_drop_past_week(regclass, date) RENAME TO kindred_drop_past_partition;
