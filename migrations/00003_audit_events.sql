-- +goose Up
-- What happened to whom, append-only, written in the transaction that made it happen.
SET LOCAL lock_timeout = '5s';

CREATE TABLE audit_events (
    id         uuid        NOT NULL,
    at         timestamptz NOT NULL,
    kind       text        NOT NULL,
    actor      text        NOT NULL DEFAULT '',
    user_id    uuid,
    family_id  uuid,
    client_id  text        NOT NULL DEFAULT '',
    request_id text        NOT NULL DEFAULT '',
    address    inet,
    user_agent text        NOT NULL DEFAULT '',
    detail     jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT audit_events_pkey PRIMARY KEY (at, id),
    CONSTRAINT audit_events_kind_is_named CHECK (kind <> ''),
    CONSTRAINT audit_events_detail_is_an_object CHECK (jsonb_typeof(detail) = 'object')
) PARTITION BY RANGE (at);

SELECT kindred_ensure_partitions('audit_events', (clock_timestamp() AT TIME ZONE 'UTC')::date,
                                 (clock_timestamp() AT TIME ZONE 'UTC')::date + 56);

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP TABLE audit_events;
