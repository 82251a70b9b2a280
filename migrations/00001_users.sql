-- +goose Up
-- People who can log in. A deleted user stays as a tombstone without name and hash: families and
-- audit events point here, and the name is free again.
SET LOCAL lock_timeout = '5s';

CREATE TABLE users (
    id                  uuid        NOT NULL,
    username            text,
    username_key        text,
    password_hash       text,
    role                text        NOT NULL,
    version             bigint      NOT NULL DEFAULT 1,
    claims              jsonb       NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL,
    password_changed_at timestamptz NOT NULL,
    disabled_at         timestamptz,
    deleted_at          timestamptz,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_role_is_named CHECK (role <> ''),
    CONSTRAINT users_version_is_positive CHECK (version > 0),
    CONSTRAINT users_claims_are_an_object CHECK (jsonb_typeof(claims) = 'object'),
    CONSTRAINT users_tombstone_keeps_no_credentials CHECK (
        CASE WHEN deleted_at IS NULL
             THEN username IS NOT NULL AND username_key IS NOT NULL AND password_hash IS NOT NULL
             ELSE username IS NULL AND username_key IS NULL AND password_hash IS NULL
        END)
);

COMMENT ON COLUMN users.username_key IS 'username in NFC, case folded: what is unique among the living';
COMMENT ON COLUMN users.version IS 'rises with role, state and password changes; access tokens carry it as ver';

CREATE UNIQUE INDEX users_username_key_among_the_living ON users (username_key) WHERE deleted_at IS NULL;

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP TABLE users;
