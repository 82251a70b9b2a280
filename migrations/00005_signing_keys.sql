-- +goose Up
-- Keys that sign access tokens. The private part is encrypted with a key that only the servers have;
-- the public part is computed from it, so that nobody who writes here can plant a key of his own.
SET LOCAL lock_timeout = '5s';

CREATE TABLE signing_keys (
    id           text        NOT NULL,
    algorithm    text        NOT NULL,
    private_key  bytea       NOT NULL,
    published_at timestamptz NOT NULL,
    sign_from    timestamptz NOT NULL,
    retired_at   timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (id),
    CONSTRAINT signing_keys_algorithm_is_known CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
    CONSTRAINT signing_keys_sign_once_published CHECK (sign_from >= published_at)
);

COMMENT ON COLUMN signing_keys.id IS 'kid: the thumbprint of the public key (RFC 7638)';
COMMENT ON COLUMN signing_keys.private_key IS 'PKCS #8, AES-256-GCM under KEY_ENCRYPTION_KEY, bound to id and algorithm';
COMMENT ON COLUMN signing_keys.sign_from IS 'from then on it signs, until a key with a later one does';

CREATE TRIGGER signing_keys_are_told AFTER INSERT OR UPDATE OR DELETE ON signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION kindred_notify();

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP TABLE signing_keys;
