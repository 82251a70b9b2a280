-- +goose Up
-- A past partition is dropped without making refreshes wait behind those who still read it.
SET LOCAL lock_timeout = '5s';

-- Drops the oldest weekly partition of a table that lies wholly before a day, and returns its name; NULL where
-- there is none, and nothing ('') where somebody uses it. What is not past by this server's clock is never
-- dropped, nor are tokens of a family that still stands. A partition's bounds say what lies in it, and not its
-- name; those of other names, or that somebody detaches, are not ours to drop.
--
-- A plain DROP: DETACH … CONCURRENTLY is refused within a function. It needs the table's lock, behind which
-- everybody waits who comes meanwhile. So the partition is locked first, which only readers of the past use: while
-- one is there, nobody else waits. And who drops and then stalls before COMMIT loses the session.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION kindred_drop_past_partition(parent regclass, before date) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '50ms' SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    today     date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    leaf      regclass;
    leaf_name text;
    leaf_ends timestamptz;
BEGIN
    IF before > today THEN
        RAISE EXCEPTION 'partitions of % are dropped once they are past, and % is not', parent, before;
    END IF;
    SELECT c.oid, c.relname, b.ends INTO leaf, leaf_name, leaf_ends
      FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid,
           LATERAL (SELECT pg_catalog.substring(pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)$')::timestamptz AS ends) AS b
     WHERE i.inhparent = parent AND NOT i.inhdetachpending AND c.relkind = 'r' AND c.relname ~ '_p[0-9]{8}$' AND b.ends IS NOT NULL
     ORDER BY b.ends LIMIT 1;
    IF leaf IS NULL OR leaf_ends > before
       OR parent = 'refresh_tokens'::regclass AND EXISTS (SELECT FROM token_families WHERE expires_on < leaf_ends::date) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_catalog.set_config('idle_in_transaction_session_timeout', '250ms', true);
    BEGIN
        EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', leaf);
        EXECUTE pg_catalog.format('DROP TABLE %s', leaf);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RETURN '';
    END;
    RETURN leaf_name;
END
$$;
-- +goose StatementEnd

-- +goose Down
SET LOCAL lock_timeout = '5s';
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
