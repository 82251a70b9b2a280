-- +goose Up
-- Links by which an admin lets somebody choose a new password: one a user, the newer replaces the older.
-- A row is deleted when its link is used, and with everything else that sets the password.
SET LOCAL lock_timeout = '5s';

CREATE TABLE password_resets (
    user_id    uuid        NOT NULL,
    token_hash bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    created_by text        NOT NULL,
    CONSTRAINT password_resets_pkey PRIMARY KEY (user_id),
    CONSTRAINT password_resets_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT password_resets_token_is_one_users UNIQUE (token_hash),
    CONSTRAINT password_resets_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    CONSTRAINT password_resets_expire CHECK (expires_at > created_at)
);

COMMENT ON COLUMN password_resets.token_hash IS 'SHA-256: the token has 256 random bits, so there is nothing to guess';

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP TABLE password_resets;
