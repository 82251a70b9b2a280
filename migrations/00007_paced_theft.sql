-- +goose Up
-- Whether two parties refresh in turns inside the reuse interval, as a thief and an owner would. Only
-- replays write these columns: a rotation stays the HOT update that it was.
SET LOCAL lock_timeout = '5s';

ALTER TABLE token_families
    ADD COLUMN foreign_replays           integer NOT NULL DEFAULT 0,
    ADD COLUMN foreign_replay_generation bigint  NOT NULL DEFAULT 0;

COMMENT ON COLUMN token_families.foreign_replays IS
    'generations in a row in which another party replayed than rotated, up to foreign_replay_generation';

-- +goose Down
SET LOCAL lock_timeout = '5s';
ALTER TABLE token_families DROP COLUMN foreign_replays, DROP COLUMN foreign_replay_generation;
