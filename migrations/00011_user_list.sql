-- +goose NO TRANSACTION

-- +goose Up
-- For the list of users: read page by page and searched by the beginning of the name, both by the bytes of the
-- key, whatever the database's collation is. Built without holding up anybody who registers, which takes no
-- transaction; what a run leaves behind that was cut off is of no use and goes first.
DROP INDEX CONCURRENTLY IF EXISTS users_by_name_among_the_living;
CREATE INDEX CONCURRENTLY users_by_name_among_the_living ON users (username_key COLLATE "C") WHERE deleted_at IS NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS users_by_name_among_the_living;
