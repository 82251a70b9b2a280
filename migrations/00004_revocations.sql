-- +goose Up
-- The blacklist that every replica follows: access tokens that must not be believed any more although
-- signature and expiry are good. A row is written in the transaction that revokes, and is of no use
-- once until has passed.
SET LOCAL lock_timeout = '5s';

CREATE TABLE revocations (
    id        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    kind      text        NOT NULL,
    subject   uuid,
    family_id uuid,
    below     bigint,
    before    timestamptz,
    until     timestamptz NOT NULL,
    xid       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT revocations_pkey PRIMARY KEY (id),
    CONSTRAINT revocations_times_are_finite CHECK (isfinite(until) AND isfinite(before)),
    CONSTRAINT revocations_kind_has_its_columns CHECK (
        CASE kind
            WHEN 'family' THEN num_nonnulls(subject) = 1 AND num_nonnulls(family_id, below, before) = 0
            WHEN 'token'  THEN num_nonnulls(subject, family_id) = 2 AND num_nonnulls(below, before) = 0
            WHEN 'user'   THEN num_nonnulls(subject, below) = 2 AND num_nonnulls(family_id, before) = 0
            WHEN 'all'    THEN num_nonnulls(before) = 1 AND num_nonnulls(subject, family_id, below) = 0
            ELSE false
        END)
);

COMMENT ON COLUMN revocations.subject IS 'the family, the token (jti) or the user';
COMMENT ON COLUMN revocations.below IS 'of a user: tokens of a lower version';
COMMENT ON COLUMN revocations.before IS 'of all: tokens issued before';
COMMENT ON COLUMN revocations.xid IS
    'of the transaction that wrote the row: followers read on from the oldest transaction that was under way, since neither ids nor times follow the order of commits';

CREATE INDEX revocations_xid ON revocations (xid);
CREATE INDEX revocations_until ON revocations (until);
CREATE INDEX revocations_subject ON revocations (subject);
CREATE INDEX revocations_tokens_of_a_family ON revocations (family_id) WHERE kind = 'token';
CREATE INDEX revocations_all ON revocations (before) WHERE kind = 'all';

-- Tells followers to read. The payload is empty: what to read stands in the table.
-- +goose StatementBegin
CREATE FUNCTION kindred_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('kindred_revocations', '');
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER revocations_are_told AFTER INSERT ON revocations FOR EACH STATEMENT EXECUTE FUNCTION kindred_notify();

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP TABLE revocations;
DROP FUNCTION kindred_notify();
