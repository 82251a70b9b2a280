-- +goose Up
-- The audit trail says why in a column of its own, is found by user, session and request, and cannot be
-- rewritten. Replays are counted in the family, so that whoever repeats one fills no table.
--
-- Tables in the order in which requests lock them. Columns with constant defaults rewrite nothing.
SET LOCAL lock_timeout = '5s';

ALTER TABLE token_families
    ADD COLUMN replays            bigint NOT NULL DEFAULT 0,
    ADD COLUMN replays_recorded   bigint NOT NULL DEFAULT 0,
    ADD COLUMN replay_recorded_at timestamptz;

COMMENT ON COLUMN token_families.replays_recorded IS 'as many of the replays as the audit trail tells of, by its row of replay_recorded_at';

ALTER TABLE audit_events ADD COLUMN reason text NOT NULL DEFAULT '';

COMMENT ON COLUMN audit_events.reason IS 'why; of older rows it stands in detail, as reason or as why';

-- ON ONLY: to build them on the leaves here would lock out every login until the last is done. `migrate up`
-- builds them afterwards, beside the writers; leaves that are attached from now on bring theirs.
CREATE INDEX audit_events_user ON ONLY audit_events (user_id, at, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_family ON ONLY audit_events (family_id, at, id) WHERE family_id IS NOT NULL;
CREATE INDEX audit_events_request ON ONLY audit_events (request_id, at, id) WHERE request_id <> '';

-- +goose StatementBegin
CREATE FUNCTION kindred_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are never changed; whole partitions are dropped once they are old enough';
END
$$;
-- +goose StatementEnd

-- Leaves get the first by themselves. A leaf can still be dropped as a whole, which is how it is purged.
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION kindred_refuse_change();
CREATE TRIGGER audit_events_not_emptied BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION kindred_refuse_change();

-- +goose Down
SET LOCAL lock_timeout = '5s';
ALTER TABLE token_families DROP COLUMN replays, DROP COLUMN replays_recorded, DROP COLUMN replay_recorded_at;
DROP TRIGGER audit_events_not_emptied ON audit_events;
DROP TRIGGER audit_events_append_only ON audit_events;
DROP FUNCTION kindred_refuse_change();
DROP INDEX audit_events_user, audit_events_family, audit_events_request;
ALTER TABLE audit_events DROP COLUMN reason;
