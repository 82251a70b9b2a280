-- +goose NO TRANSACTION

-- +goose Up
-- Built without holding up anybody who registers, logs in or refreshes, which takes no transaction; what a run
-- leaves behind that was cut off is of no use and goes first.

-- For the list of users: read page by page and searched by the beginning of the name, both by the bytes of the
-- key, whatever the database's collation is.
DROP INDEX CONCURRENTLY IF EXISTS users_by_name_among_the_living;
CREATE INDEX CONCURRENTLY users_by_name_among_the_living ON users (username_key COLLATE "C") WHERE deleted_at IS NULL;

-- For the limit of sessions, which each login counts. A rotation changes none of it.
DROP INDEX CONCURRENTLY IF EXISTS token_families_live_of_a_user;
CREATE INDEX CONCURRENTLY token_families_live_of_a_user ON token_families (user_id, id) WHERE revoked_at IS NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS token_families_live_of_a_user;
DROP INDEX CONCURRENTLY IF EXISTS users_by_name_among_the_living;
