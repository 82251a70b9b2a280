-- +goose Up
-- Where this database stands, so that a copy of it, restored from a backup, finds itself elsewhere: it has lost
-- what was revoked since the backup, and is not served from before `kindred restore-guard` ran. A standby that
-- is promoted is no copy in this sense: it has the identifier and the oid of its primary.
SET LOCAL lock_timeout = '5s';

-- NULL where this server tells nobody, as some that are rented do not. By the rights of the owner, so that the
-- servers' role need not have them.
-- +goose StatementBegin
CREATE FUNCTION kindred_system_identifier() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT system_identifier FROM pg_catalog.pg_control_system());
EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TABLE installation (
    one               boolean     NOT NULL DEFAULT true,
    system_identifier bigint,
    database_oid      oid         NOT NULL,
    recorded_at       timestamptz NOT NULL,
    guard_began_at    timestamptz,
    guarded_at        timestamptz,
    CONSTRAINT installation_pkey PRIMARY KEY (one),
    CONSTRAINT installation_is_one_row CHECK (one)
);

COMMENT ON COLUMN installation.system_identifier IS 'of the cluster, as initdb gave it; NULL where it could not be read';
COMMENT ON COLUMN installation.database_oid IS 'within the cluster: a backup that is restored into a new database beside the old one has another';
COMMENT ON COLUMN installation.guard_began_at IS 'of a restore-guard that has not ended; NULL while none is under way';

INSERT INTO installation (system_identifier, database_oid, recorded_at)
SELECT kindred_system_identifier(), oid, clock_timestamp() FROM pg_database WHERE datname = current_database();

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP TABLE installation;
DROP FUNCTION kindred_system_identifier();
