-- +goose Up
-- A role that serves and owns nothing: it makes and drops partitions through two functions that run as their
-- owner, and these believe nothing of what they are told: no other table than our two, no day that this
-- server's clock does not bear out. deploy/sql/roles.sql has the roles and their grants.
--
-- Replaced functions lock no table: nobody who logs in or refreshes waits. Binaries from before call them as they did.
SET LOCAL lock_timeout = '5s';

-- The oldest binary that still works on this schema, by the newest migration it knows. A migration that takes
-- away what older binaries need raises it; those then say that they are not ready.
CREATE OR REPLACE FUNCTION kindred_oldest_binary() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 13::bigint';

-- As before, for the lifetimes that can be set (400 days) and the eight weeks ahead, from last week on.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION kindred_ensure_partitions(parent regclass, first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    today       date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    monday      date := date_trunc('week', first_day::timestamp)::date;
    namespace   oid;
    parent_name text;
    leaf        text;
    qualified   text;
    made        integer := 0;
BEGIN
    IF parent NOT IN ('refresh_tokens'::regclass, 'audit_events'::regclass) THEN
        RAISE EXCEPTION '% is not partitioned by week', parent;
    END IF;
    IF first_day IS NULL OR last_day IS NULL OR first_day < today - 7 OR last_day > today + 400 + 7 * 9 THEN
        RAISE EXCEPTION 'partitions of % are made from last week until 463 days ahead, not from % to %', parent, first_day, last_day;
    END IF;
    SELECT c.relnamespace, c.relname INTO STRICT namespace, parent_name
      FROM pg_catalog.pg_class c WHERE c.oid = parent AND c.relkind = 'p';
    WHILE monday <= last_day LOOP
        leaf := parent_name || '_p' || pg_catalog.to_char(monday, 'YYYYMMDD');
        -- Looked up by a query and not by to_regclass: that answers from a cache which the wait for an
        -- advisory lock does not refresh, and would miss what another replica has just made.
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = leaf AND c.relnamespace = namespace) THEN
            -- One maker at a time; who waited looks again.
            PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('kindred partitions', 0));
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = leaf AND c.relnamespace = namespace) THEN
                qualified := pg_catalog.format('%s.%I', namespace::pg_catalog.regnamespace, leaf);
                EXECUTE pg_catalog.format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', qualified, parent);
                EXECUTE pg_catalog.format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                    parent, qualified, monday || ' 00:00+00', (monday + 7) || ' 00:00+00');
                made := made + 1;
            END IF;
        END IF;
        monday := monday + 7;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- As before; and the day before this one, the shortest time that can be set, stays in the audit trail.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION kindred_drop_past_partition(parent regclass, before date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '50ms' AS $$
DECLARE
    today     date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    leaf      regclass;
    leaf_name text;
    next_week date;
BEGIN
    IF parent NOT IN ('refresh_tokens'::regclass, 'audit_events'::regclass) THEN
        RAISE EXCEPTION '% is not partitioned by week', parent;
    END IF;
    IF before IS NULL OR before > today - (parent = 'audit_events'::regclass)::integer THEN
        RAISE EXCEPTION 'partitions of % are dropped once they are past, and % is not', parent, before;
    END IF;
    SELECT c.oid, c.relname, pg_catalog.to_date(pg_catalog.right(c.relname, 8), 'YYYYMMDD') + 7
      INTO leaf, leaf_name, next_week
      FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = parent AND c.relname ~ '_p[0-9]{8}$'
     ORDER BY pg_catalog.right(c.relname, 8) LIMIT 1;
    IF leaf IS NULL OR next_week > before
       OR parent = 'refresh_tokens'::regclass AND EXISTS (SELECT FROM token_families WHERE expires_on < next_week) THEN
        RETURN NULL;
    END IF;
    BEGIN
        EXECUTE pg_catalog.format('DROP TABLE %s', leaf);
    EXCEPTION WHEN lock_not_available THEN
        RETURN '';
    END;
    RETURN leaf_name;
END
$$;
-- +goose StatementEnd

-- Names mean what they mean to the owner, whatever the caller's search path is and whatever temporary
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION kindred_ensure_partitions(parent regclass, first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    monday      date := date_trunc('week', first_day::timestamp)::date;
    namespace   oid;
    parent_name text;
    leaf        text;
    qualified   text;
    made        integer := 0;
BEGIN
    SELECT c.relnamespace, c.relname INTO STRICT namespace, parent_name
      FROM pg_catalog.pg_class c WHERE c.oid = parent AND c.relkind = 'p';
    IF last_day > first_day + 7 * 104 THEN
        RAISE EXCEPTION 'partitions of % are made two years ahead at most, not until %', parent_name, last_day;
    END IF;
    WHILE monday <= last_day LOOP
        leaf := parent_name || '_p' || pg_catalog.to_char(monday, 'YYYYMMDD');
        -- Looked up by a query and not by to_regclass: that answers from a cache which the wait for an
        -- advisory lock does not refresh, and would miss what another replica has just made.
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = leaf AND c.relnamespace = namespace) THEN
            -- One maker at a time; who waited looks again.
            PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('kindred partitions', 0));
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = leaf AND c.relnamespace = namespace) THEN
                qualified := pg_catalog.format('%s.%I', namespace::pg_catalog.regnamespace, leaf);
                EXECUTE pg_catalog.format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', qualified, parent);
                EXECUTE pg_catalog.format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                    parent, qualified, monday || ' 00:00+00', (monday + 7) || ' 00:00+00');
                made := made + 1;
            END IF;
        END IF;
        monday := monday + 7;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION kindred_drop_past_partition(parent regclass, before date) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
    today     date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    leaf      regclass;
    leaf_name text;
    next_week date;
BEGIN
    IF before > today THEN
        RAISE EXCEPTION 'partitions of % are dropped once they are past, and % is not', parent, before;
    END IF;
    SELECT c.oid, c.relname, pg_catalog.to_date(pg_catalog.right(c.relname, 8), 'YYYYMMDD') + 7
      INTO leaf, leaf_name, next_week
      FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = parent AND c.relname ~ '_p[0-9]{8}$'
     ORDER BY pg_catalog.right(c.relname, 8) LIMIT 1;
    IF leaf IS NULL OR next_week > before
       OR parent = 'refresh_tokens'::regclass AND EXISTS (SELECT FROM token_families WHERE expires_on < next_week) THEN
        RETURN NULL;
    END IF;
    BEGIN
        EXECUTE pg_catalog.format('DROP TABLE %s', leaf);
    EXCEPTION WHEN lock_not_available THEN
        RETURN '';
    END;
    RETURN leaf_name;
END
$$;
-- +goose StatementEnd

GRANT EXECUTE ON FUNCTION kindred_ensure_partitions(regclass, date, date), kindred_drop_past_partition(regclass, date) TO PUBLIC;
