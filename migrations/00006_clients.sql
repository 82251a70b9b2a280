-- +goose Up
-- OAuth clients (RFC 6749 §2): programs that people log in through, and resource servers that ask about
-- tokens. The built-in public client has no row. A client is disabled and never deleted: families and
-- audit events name it.
SET LOCAL lock_timeout = '5s';

CREATE TABLE clients (
    id             text        NOT NULL,
    name           text        NOT NULL,
    type           text        NOT NULL,
    secret_hash    bytea,
    may_introspect boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL,
    disabled_at    timestamptz,
    CONSTRAINT clients_pkey PRIMARY KEY (id),
    CONSTRAINT clients_id_is_not_the_built_in CHECK (id <> 'kindred'),
    CONSTRAINT clients_id_and_name_are_given CHECK (id <> '' AND name <> ''),
    CONSTRAINT clients_type_is_known CHECK (type IN ('public', 'confidential')),
    CONSTRAINT clients_secret_is_of_the_confidential CHECK ((type = 'confidential') = (secret_hash IS NOT NULL)),
    CONSTRAINT clients_hash_is_sha256 CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT clients_only_the_confidential_introspect CHECK (type = 'confidential' OR NOT may_introspect)
);

COMMENT ON COLUMN clients.secret_hash IS 'SHA-256: the secret has 256 random bits, so there is nothing to guess';

-- For the end of a client. A login of the built-in client does not write here, and a rotation changes none of it.
CREATE INDEX token_families_live_of_a_client ON token_families (client_id, id) WHERE revoked_at IS NULL AND client_id <> 'kindred';

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP INDEX token_families_live_of_a_client;
DROP TABLE clients;
