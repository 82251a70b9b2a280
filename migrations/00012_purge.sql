-- +goose Up
-- What has ended is deleted: families one by one, their tokens by dropping the week's partition.
SET LOCAL lock_timeout = '5s';

-- Drops the oldest partition of a table that lies wholly before a day, and returns its name; NULL where there is
-- none, and nothing ('') where somebody uses it. What is not past by this server's clock is never dropped, nor are tokens of a family
-- that still stands. A plain DROP: DETACH … CONCURRENTLY is refused within a function. Everybody who
-- comes meanwhile waits behind the lock, so it is given up soon, and the caller comes back later.
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

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP FUNCTION kindred_drop_past_partition(regclass, date);
