-- +goose Up
-- A login and all that descends from it. token_families holds the mutable state, one row a login;
-- refresh_tokens is the append-only lineage. A rotation updates the one and appends to the other.
SET LOCAL lock_timeout = '5s';

-- fillfactor 50, and no index on a column that a rotation changes: rotations are HOT updates.
CREATE TABLE token_families (
    id                uuid        NOT NULL,
    user_id           uuid        NOT NULL,
    client_id         text        NOT NULL,
    created_at        timestamptz NOT NULL,
    auth_time         timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL,
    expires_on        date        NOT NULL,
    current_token_id  uuid        NOT NULL,
    current_hash      bytea       NOT NULL,
    previous_token_id uuid,
    generation        bigint      NOT NULL DEFAULT 0,
    rotated_at        timestamptz NOT NULL,
    idle_expires_at   timestamptz NOT NULL,
    access_until      timestamptz NOT NULL,
    successor_seal    bytea,
    revoked_at        timestamptz,
    revoked_reason    text,
    revoked_by        text,
    first_user_agent  text        NOT NULL DEFAULT '',
    first_address     inet,
    last_user_agent   text        NOT NULL DEFAULT '',
    last_address      inet,
    CONSTRAINT token_families_pkey PRIMARY KEY (id),
    CONSTRAINT token_families_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT token_families_hash_is_sha256 CHECK (octet_length(current_hash) = 32),
    CONSTRAINT token_families_day_is_that_of_the_expiry CHECK (expires_on = (expires_at AT TIME ZONE 'UTC')::date),
    CONSTRAINT token_families_idle_within_absolute CHECK (idle_expires_at <= expires_at),
    CONSTRAINT token_families_access_within_absolute CHECK (access_until <= expires_at),
    CONSTRAINT token_families_first_generation_has_no_parent CHECK (
        generation >= 0
        AND (generation = 0) = (previous_token_id IS NULL)
        AND (generation = 0) = (successor_seal IS NULL)),
    CONSTRAINT token_families_revocation_is_whole CHECK (
        (revoked_at IS NULL) = (revoked_reason IS NULL) AND (revoked_at IS NULL) = (revoked_by IS NULL))
) WITH (fillfactor = 50);

COMMENT ON COLUMN token_families.successor_seal IS
    'the current token, sealed with its parent''s secret: what a repeated refresh with the parent is given';
COMMENT ON COLUMN token_families.access_until IS 'no access token of this family outlives this instant';

CREATE INDEX token_families_user ON token_families (user_id);

-- Partitioned by the family's absolute expiry, so that a whole chain lies in one partition and is
-- purged by dropping it. No foreign key from child to parent (it would make that DROP fail): a
-- rotation inserts no other parent than the current token, and `kindred check` looks for others.
CREATE TABLE refresh_tokens (
    id         uuid        NOT NULL,
    expires_on date        NOT NULL,
    family_id  uuid        NOT NULL,
    parent_id  uuid,
    token_hash bytea       NOT NULL,
    generation bigint      NOT NULL,
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    user_agent text        NOT NULL DEFAULT '',
    address    inet,
    CONSTRAINT refresh_tokens_pkey PRIMARY KEY (expires_on, id, family_id),
    -- One child at most, and one root: with NULLS NOT DISTINCT the database itself refuses a fork.
    CONSTRAINT refresh_tokens_one_child UNIQUE NULLS NOT DISTINCT (expires_on, parent_id, family_id),
    CONSTRAINT refresh_tokens_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    CONSTRAINT refresh_tokens_root_has_no_parent CHECK (generation >= 0 AND (generation = 0) = (parent_id IS NULL)),
    CONSTRAINT refresh_tokens_not_its_own_parent CHECK (parent_id <> id)
) PARTITION BY RANGE (expires_on);

-- Makes the weekly partitions (Monday to Monday, UTC) of a table that is partitioned by a date or a
-- time, from one day through another; those that stand are left alone. Returns how many it made.
-- CREATE TABLE + ATTACH takes SHARE UPDATE EXCLUSIVE on the parent, where CREATE TABLE … PARTITION OF
-- would take ACCESS EXCLUSIVE and hold up every login behind it.
-- +goose StatementBegin
CREATE FUNCTION kindred_ensure_partitions(parent regclass, first_day date, last_day date) RETURNS integer
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

-- The default lifetime of a family (30 days) and eight weeks; `serve` keeps them ahead from then on.
SELECT kindred_ensure_partitions('refresh_tokens', (clock_timestamp() AT TIME ZONE 'UTC')::date,
                                 (clock_timestamp() AT TIME ZONE 'UTC')::date + 30 + 56);

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP FUNCTION kindred_ensure_partitions(regclass, date, date);
DROP TABLE refresh_tokens;
DROP TABLE token_families;
