-- +goose NO TRANSACTION

-- +goose Up
-- Which families have ended, for the purge. The day never changes, so that rotations stay HOT updates. Built
-- without holding up logins and refreshes; what a run leaves behind that was cut off goes first.
DROP INDEX CONCURRENTLY IF EXISTS token_families_expires_on;
CREATE INDEX CONCURRENTLY token_families_expires_on ON token_families (expires_on);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS token_families_expires_on;
