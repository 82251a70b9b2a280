-- The roles of Kindred and what each may do, for one database. Run it as a superuser, connected to that database,
-- before the first `kindred migrate up` and after each: it may be run any number of times, and gives
-- what stands by then. It sets no password and takes none away.
--
--   psql -v ON_ERROR_STOP=1 -1 -d kindred -f deploy/sql/roles.sql
--
--   kindred_owner   owns the schema; `kindred migrate` and `kindred restore-guard` run as it, and nothing else
--   kindred_server  `kindred serve` and all other commands that change something; no DDL, and tokens and
--                   audit events can be added and read only
--   kindred_reader  reads: `kindred explain`, `check`, `events`, `user list`, `session list`; it sees the hashes
--                   of passwords and tokens as a backup does
SET LOCAL lock_timeout = '5s';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['kindred_owner', 'kindred_server', 'kindred_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

-- Who may connect, and make what.
DO $$
DECLARE
    here text := quote_ident(current_database());
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %s FROM PUBLIC', here);
    EXECUTE format('GRANT CONNECT ON DATABASE %s TO kindred_owner, kindred_server, kindred_reader', here);
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO kindred_owner;
GRANT USAGE ON SCHEMA public TO kindred_server, kindred_reader;

-- What another role made until now becomes the owner's. Each table is locked for a moment.
DO $$
DECLARE
    ours constant text[] := ARRAY['users', 'token_families', 'refresh_tokens', 'audit_events', 'revocations', 'signing_keys',
                                  'clients', 'throttle', 'password_resets', 'installation', 'goose_db_version', 'goose_lock'];
    thing text;
BEGIN
    FOR thing IN SELECT c.oid::regclass FROM pg_class c
                  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relowner <> 'kindred_owner'::regrole
                    AND (c.relname = ANY (ours) OR EXISTS (
                         SELECT FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent
                          WHERE i.inhrelid = c.oid AND parent.relnamespace = c.relnamespace AND parent.relname = ANY (ours)))
                  ORDER BY array_position(ours, c.relname::text), c.relname LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO kindred_owner', thing);
    END LOOP;
    FOR thing IN SELECT p.oid::regprocedure FROM pg_proc p
                  WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'kindred\_%' AND p.proowner <> 'kindred_owner'::regrole LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO kindred_owner', thing);
    END LOOP;
END
$$;

-- Tables that a migration makes from now on can be read; who writes them is said below, and this file run again.
ALTER DEFAULT PRIVILEGES FOR ROLE kindred_owner IN SCHEMA public GRANT SELECT ON TABLES TO kindred_server, kindred_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO kindred_server, kindred_reader;

-- What the server writes. refresh_tokens and audit_events are append-only, users and clients are never deleted, and
-- where the database stands (installation) is not for servers to say: it keeps them out.
-- Partitions get no grant of their own: they are written through their table.
DO $$
DECLARE
    what record;
BEGIN
    FOR what IN SELECT * FROM (VALUES
            ('users',           'INSERT, UPDATE'),
            ('token_families',  'INSERT, UPDATE, DELETE'),
            ('refresh_tokens',  'INSERT'),
            ('audit_events',    'INSERT'),
            ('revocations',     'INSERT, DELETE'),
            ('signing_keys',    'INSERT, UPDATE'),
            ('clients',         'INSERT, UPDATE'),
            ('throttle',        'INSERT, UPDATE, DELETE'),
            ('password_resets', 'INSERT, UPDATE, DELETE'),
            ('installation',    NULL)) AS t (name, privileges)
        WHERE to_regclass('public.' || t.name) IS NOT NULL
    LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON public.%I FROM PUBLIC, kindred_server, kindred_reader', what.name);
        IF what.privileges IS NOT NULL THEN
            EXECUTE format('GRANT %s ON public.%I TO kindred_server', what.privileges, what.name);
        END IF;
    END LOOP;
    IF to_regprocedure('public.kindred_drop_past_partition(regclass, date)') IS NOT NULL THEN
        REVOKE EXECUTE ON FUNCTION public.kindred_ensure_partitions(regclass, date, date), public.kindred_drop_past_partition(regclass, date) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION public.kindred_ensure_partitions(regclass, date, date), public.kindred_drop_past_partition(regclass, date) TO kindred_server;
    END IF;
END
$$;

-- What bounds a session of the server, for connections through a pooler, which refuses it as start-up parameters.
-- 500ms and 250 are Kindred's; the others follow from REQUEST_TIMEOUT (here 5 s: nine tenths of it, and twice).
DO $$
DECLARE
    setting text;
BEGIN
    FOREACH setting IN ARRAY ARRAY[
        'lock_timeout = ''500ms''',
        'statement_timeout = ''4500ms''',
        'idle_in_transaction_session_timeout = ''10s''',
        'client_connection_check_interval = 250',
        'plan_cache_mode = force_generic_plan',
        'default_transaction_isolation = ''read committed''']
    LOOP
        EXECUTE format('ALTER ROLE kindred_server IN DATABASE %I SET %s', current_database(), setting);
    END LOOP;
    -- Belt and braces: it has no grant to write either.
    EXECUTE format('ALTER ROLE kindred_reader IN DATABASE %I SET default_transaction_read_only = on', current_database());
END
$$;
