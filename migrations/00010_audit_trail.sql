-- +goose Up
-- The audit trail says why in a column of its own, is found by user, session and request, and cannot be
-- rewritten. Replays are counted in the family, so that whoever repeats one fills no table.
SET LOCAL lock_timeout = '5s';

ALTER TABLE audit_events ADD COLUMN reason text NOT NULL DEFAULT '';

-- On a partitioned table an index cannot be made CONCURRENTLY. Before the first release the table is small.
CREATE INDEX audit_events_user ON audit_events (user_id, at, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_family ON audit_events (family_id, at, id) WHERE family_id IS NOT NULL;
CREATE INDEX audit_events_request ON audit_events (request_id) WHERE request_id <> '';

-- +goose StatementBegin
CREATE FUNCTION kindred_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are never changed; whole partitions are dropped once they are old enough';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION kindred_refuse_change();

ALTER TABLE token_families
    ADD COLUMN replays            bigint NOT NULL DEFAULT 0,
    ADD COLUMN replays_recorded   bigint NOT NULL DEFAULT 0,
    ADD COLUMN replay_recorded_at timestamptz;

COMMENT ON COLUMN token_families.replays_recorded IS 'as many of the replays as the audit trail tells of, by its row of replay_recorded_at';

-- +goose Down
SET LOCAL lock_timeout = '5s';
ALTER TABLE token_families DROP COLUMN replays, DROP COLUMN replays_recorded, DROP COLUMN replay_recorded_at;
DROP TRIGGER audit_events_append_only ON audit_events;
DROP FUNCTION kindred_refuse_change();
DROP INDEX audit_events_user, audit_events_family, audit_events_request;
ALTER TABLE audit_events DROP COLUMN reason;
