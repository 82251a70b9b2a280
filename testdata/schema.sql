TABLE audit_events PARTITION BY RANGE (at)
    id uuid NOT NULL
    at timestamp with time zone NOT NULL
    kind text NOT NULL
    actor text NOT NULL DEFAULT ''::text
    user_id uuid
    family_id uuid
    client_id text NOT NULL DEFAULT ''::text
    request_id text NOT NULL DEFAULT ''::text
    address inet
    user_agent text NOT NULL DEFAULT ''::text
    detail jsonb NOT NULL DEFAULT '{}'::jsonb
    reason text NOT NULL DEFAULT ''::text
    CONSTRAINT audit_events_detail_is_an_object CHECK ((jsonb_typeof(detail) = 'object'::text))
    CONSTRAINT audit_events_kind_is_named CHECK ((kind <> ''::text))
    CONSTRAINT audit_events_pkey PRIMARY KEY (at, id)
    CREATE INDEX audit_events_family ON ONLY public.audit_events USING btree (family_id, at, id) WHERE (family_id IS NOT NULL)
    CREATE INDEX audit_events_request ON ONLY public.audit_events USING btree (request_id, at, id) WHERE (request_id <> ''::text)
    CREATE INDEX audit_events_user ON ONLY public.audit_events USING btree (user_id, at, id) WHERE (user_id IS NOT NULL)
    CREATE TRIGGER audit_events_append_only BEFORE DELETE OR UPDATE ON public.audit_events FOR EACH ROW EXECUTE FUNCTION kindred_refuse_change()
    CREATE TRIGGER audit_events_not_emptied BEFORE TRUNCATE ON public.audit_events FOR EACH STATEMENT EXECUTE FUNCTION kindred_refuse_change()
TABLE clients
    id text NOT NULL
    name text NOT NULL
    type text NOT NULL
    secret_hash bytea
    may_introspect boolean NOT NULL DEFAULT false
    created_at timestamp with time zone NOT NULL
    disabled_at timestamp with time zone
    CONSTRAINT clients_hash_is_sha256 CHECK ((octet_length(secret_hash) = 32))
    CONSTRAINT clients_id_and_name_are_given CHECK (((id <> ''::text) AND (name <> ''::text)))
    CONSTRAINT clients_id_is_not_the_built_in CHECK ((id <> 'kindred'::text))
    CONSTRAINT clients_only_the_confidential_introspect CHECK (((type = 'confidential'::text) OR (NOT may_introspect)))
    CONSTRAINT clients_pkey PRIMARY KEY (id)
    CONSTRAINT clients_secret_is_of_the_confidential CHECK (((type = 'confidential'::text) = (secret_hash IS NOT NULL)))
    CONSTRAINT clients_type_is_known CHECK ((type = ANY (ARRAY['public'::text, 'confidential'::text])))
CREATE OR REPLACE FUNCTION public.kindred_drop_past_partition(parent regclass, before date)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    IF parent = 'refresh_tokens'::regclass AND before <= today OR parent = 'audit_events'::regclass AND before < today THEN
        RETURN kindred_drop_past_week(parent, before);
    END IF;
    RAISE EXCEPTION 'partitions of % are dropped once they are past, and % is not: only of refresh_tokens and audit_events', parent, before;
END
$function$

CREATE OR REPLACE FUNCTION public.kindred_drop_past_week(parent regclass, before date)
 RETURNS text
 LANGUAGE plpgsql
 SET lock_timeout TO '50ms'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
AS $function$
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
$function$

CREATE OR REPLACE FUNCTION public.kindred_ensure_partitions(parent regclass, first_day date, last_day date)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    IF parent IN ('refresh_tokens'::regclass, 'audit_events'::regclass) AND first_day >= today - 7 AND last_day <= today + 400 + 9 * 7 THEN
        RETURN kindred_make_weeks(parent, first_day, last_day);
    END IF;
    RAISE EXCEPTION 'partitions of % are not made from % to %: only of refresh_tokens and audit_events, from last week until 463 days ahead',
        parent, first_day, last_day;
END
$function$

CREATE OR REPLACE FUNCTION public.kindred_make_weeks(parent regclass, first_day date, last_day date)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
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
$function$

CREATE OR REPLACE FUNCTION public.kindred_notify()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_catalog.pg_notify('kindred_revocations', '');
    RETURN NULL;
END
$function$

CREATE OR REPLACE FUNCTION public.kindred_oldest_binary()
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT 13::bigint$function$

CREATE OR REPLACE FUNCTION public.kindred_refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'audit events are never changed; whole partitions are dropped once they are old enough';
END
$function$

CREATE OR REPLACE FUNCTION public.kindred_system_identifier()
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN (SELECT system_identifier FROM pg_catalog.pg_control_system());
EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
    RETURN NULL;
END
$function$

TABLE installation
    one boolean NOT NULL DEFAULT true
    system_identifier bigint
    database_oid oid NOT NULL
    recorded_at timestamp with time zone NOT NULL
    guard_began_at timestamp with time zone
    guarded_at timestamp with time zone
    CONSTRAINT installation_is_one_row CHECK (one)
    CONSTRAINT installation_pkey PRIMARY KEY (one)
TABLE password_resets
    user_id uuid NOT NULL
    token_hash bytea NOT NULL
    created_at timestamp with time zone NOT NULL
    expires_at timestamp with time zone NOT NULL
    created_by text NOT NULL
    CONSTRAINT password_resets_expire CHECK ((expires_at > created_at))
    CONSTRAINT password_resets_hash_is_sha256 CHECK ((octet_length(token_hash) = 32))
    CONSTRAINT password_resets_pkey PRIMARY KEY (user_id)
    CONSTRAINT password_resets_token_is_one_users UNIQUE (token_hash)
    CONSTRAINT password_resets_user_fkey FOREIGN KEY (user_id) REFERENCES users(id)
TABLE refresh_tokens PARTITION BY RANGE (expires_on)
    id uuid NOT NULL
    expires_on date NOT NULL
    family_id uuid NOT NULL
    parent_id uuid
    token_hash bytea NOT NULL
    generation bigint NOT NULL
    issued_at timestamp with time zone NOT NULL
    expires_at timestamp with time zone NOT NULL
    user_agent text NOT NULL DEFAULT ''::text
    address inet
    CONSTRAINT refresh_tokens_hash_is_sha256 CHECK ((octet_length(token_hash) = 32))
    CONSTRAINT refresh_tokens_not_its_own_parent CHECK ((parent_id <> id))
    CONSTRAINT refresh_tokens_one_child UNIQUE NULLS NOT DISTINCT (expires_on, parent_id, family_id)
    CONSTRAINT refresh_tokens_pkey PRIMARY KEY (expires_on, id, family_id)
    CONSTRAINT refresh_tokens_root_has_no_parent CHECK (((generation >= 0) AND ((generation = 0) = (parent_id IS NULL))))
TABLE revocations
    id bigint NOT NULL
    kind text NOT NULL
    subject uuid
    family_id uuid
    below bigint
    before timestamp with time zone
    until timestamp with time zone NOT NULL
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    CONSTRAINT revocations_kind_has_its_columns CHECK (
CASE kind
    WHEN 'family'::text THEN ((num_nonnulls(subject) = 1) AND (num_nonnulls(family_id, below, before) = 0))
    WHEN 'token'::text THEN ((num_nonnulls(subject, family_id) = 2) AND (num_nonnulls(below, before) = 0))
    WHEN 'user'::text THEN ((num_nonnulls(subject, below) = 2) AND (num_nonnulls(family_id, before) = 0))
    WHEN 'all'::text THEN ((num_nonnulls(before) = 1) AND (num_nonnulls(subject, family_id, below) = 0))
    ELSE false
END)
    CONSTRAINT revocations_pkey PRIMARY KEY (id)
    CONSTRAINT revocations_times_are_finite CHECK ((isfinite(until) AND isfinite(before)))
    CREATE INDEX revocations_all ON public.revocations USING btree (before) WHERE (kind = 'all'::text)
    CREATE INDEX revocations_subject ON public.revocations USING btree (subject)
    CREATE INDEX revocations_tokens_of_a_family ON public.revocations USING btree (family_id) WHERE (kind = 'token'::text)
    CREATE INDEX revocations_until ON public.revocations USING btree (until)
    CREATE INDEX revocations_xid ON public.revocations USING btree (xid)
    CREATE TRIGGER revocations_are_told AFTER INSERT ON public.revocations FOR EACH STATEMENT EXECUTE FUNCTION kindred_notify()
TABLE revocations_id_seq
    last_value bigint NOT NULL
    log_cnt bigint NOT NULL
    is_called boolean NOT NULL
TABLE signing_keys
    id text NOT NULL
    algorithm text NOT NULL
    private_key bytea NOT NULL
    published_at timestamp with time zone NOT NULL
    sign_from timestamp with time zone NOT NULL
    retired_at timestamp with time zone
    revoked_at timestamp with time zone
    CONSTRAINT signing_keys_algorithm_is_known CHECK ((algorithm = ANY (ARRAY['ES256'::text, 'EdDSA'::text, 'RS256'::text])))
    CONSTRAINT signing_keys_pkey PRIMARY KEY (id)
    CONSTRAINT signing_keys_sign_once_published CHECK ((sign_from >= published_at))
    CREATE TRIGGER signing_keys_are_told AFTER INSERT OR DELETE OR UPDATE ON public.signing_keys FOR EACH STATEMENT EXECUTE FUNCTION kindred_notify()
TABLE throttle WITH (fillfactor=50)
    key bytea NOT NULL
    scope text NOT NULL
    failures integer NOT NULL DEFAULT 0
    charged_at timestamp with time zone NOT NULL DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone
    password_set_at timestamp with time zone NOT NULL DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone
    opens_at timestamp with time zone NOT NULL DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone
    untold integer NOT NULL DEFAULT 0
    refusals_told_at timestamp with time zone NOT NULL DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone
    throttlings_told_at timestamp with time zone NOT NULL DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone
    CONSTRAINT throttle_counts_are_not_negative CHECK (((failures >= 0) AND (untold >= 0)))
    CONSTRAINT throttle_key_is_a_hash CHECK ((octet_length(key) = 32))
    CONSTRAINT throttle_pkey PRIMARY KEY (key)
    CONSTRAINT throttle_scope_is_named CHECK ((scope <> ''::text))
    CONSTRAINT throttle_times_are_finite CHECK ((isfinite(charged_at) AND isfinite(opens_at)))
TABLE token_families WITH (fillfactor=50)
    id uuid NOT NULL
    user_id uuid NOT NULL
    client_id text NOT NULL
    created_at timestamp with time zone NOT NULL
    auth_time timestamp with time zone NOT NULL
    expires_at timestamp with time zone NOT NULL
    expires_on date NOT NULL
    current_token_id uuid NOT NULL
    current_hash bytea NOT NULL
    previous_token_id uuid
    generation bigint NOT NULL DEFAULT 0
    rotated_at timestamp with time zone NOT NULL
    idle_expires_at timestamp with time zone NOT NULL
    access_until timestamp with time zone NOT NULL
    successor_seal bytea
    revoked_at timestamp with time zone
    revoked_reason text
    revoked_by text
    first_user_agent text NOT NULL DEFAULT ''::text
    first_address inet
    last_user_agent text NOT NULL DEFAULT ''::text
    last_address inet
    foreign_replays integer NOT NULL DEFAULT 0
    foreign_replay_generation bigint NOT NULL DEFAULT 0
    replays bigint NOT NULL DEFAULT 0
    replays_recorded bigint NOT NULL DEFAULT 0
    replay_recorded_at timestamp with time zone
    CONSTRAINT token_families_access_within_absolute CHECK ((access_until <= expires_at))
    CONSTRAINT token_families_day_is_that_of_the_expiry CHECK ((expires_on = ((expires_at AT TIME ZONE 'UTC'::text))::date))
    CONSTRAINT token_families_first_generation_has_no_parent CHECK (((generation >= 0) AND ((generation = 0) = (previous_token_id IS NULL)) AND ((generation = 0) = (successor_seal IS NULL))))
    CONSTRAINT token_families_hash_is_sha256 CHECK ((octet_length(current_hash) = 32))
    CONSTRAINT token_families_idle_within_absolute CHECK ((idle_expires_at <= expires_at))
    CONSTRAINT token_families_pkey PRIMARY KEY (id)
    CONSTRAINT token_families_revocation_is_whole CHECK ((((revoked_at IS NULL) = (revoked_reason IS NULL)) AND ((revoked_at IS NULL) = (revoked_by IS NULL))))
    CONSTRAINT token_families_user_fkey FOREIGN KEY (user_id) REFERENCES users(id)
    CREATE INDEX token_families_expires_on ON public.token_families USING btree (expires_on)
    CREATE INDEX token_families_live_of_a_client ON public.token_families USING btree (client_id, id) WHERE ((revoked_at IS NULL) AND (client_id <> 'kindred'::text))
    CREATE INDEX token_families_live_of_a_user ON public.token_families USING btree (user_id, id) WHERE (revoked_at IS NULL)
    CREATE INDEX token_families_user ON public.token_families USING btree (user_id)
TABLE users
    id uuid NOT NULL
    username text
    username_key text
    password_hash text
    role text NOT NULL
    version bigint NOT NULL DEFAULT 1
    claims jsonb NOT NULL DEFAULT '{}'::jsonb
    created_at timestamp with time zone NOT NULL
    password_changed_at timestamp with time zone NOT NULL
    disabled_at timestamp with time zone
    deleted_at timestamp with time zone
    CONSTRAINT users_claims_are_an_object CHECK ((jsonb_typeof(claims) = 'object'::text))
    CONSTRAINT users_pkey PRIMARY KEY (id)
    CONSTRAINT users_role_is_named CHECK ((role <> ''::text))
    CONSTRAINT users_tombstone_keeps_no_credentials CHECK (
CASE
    WHEN (deleted_at IS NULL) THEN ((username IS NOT NULL) AND (username_key IS NOT NULL) AND (password_hash IS NOT NULL))
    ELSE ((username IS NULL) AND (username_key IS NULL) AND (password_hash IS NULL))
END)
    CONSTRAINT users_version_is_positive CHECK ((version > 0))
    CREATE INDEX users_by_name_among_the_living ON public.users USING btree (username_key COLLATE "C") WHERE (deleted_at IS NULL)
    CREATE UNIQUE INDEX users_username_key_among_the_living ON public.users USING btree (username_key) WHERE (deleted_at IS NULL)
