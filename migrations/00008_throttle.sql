-- +goose Up
-- What guesses are counted in: a row for each name that was guessed at, network, device, signed-in user,
-- and one for all. The key is a keyed hash (HMAC-SHA256), so that a dump shows neither a name that somebody
-- typed nor an address. Every guess writes here: fillfactor 50 and no index but the key's keep that HOT.
SET LOCAL lock_timeout = '5s';

CREATE TABLE throttle (
    key                 bytea       NOT NULL,
    scope               text        NOT NULL,
    failures            integer     NOT NULL DEFAULT 0,
    charged_at          timestamptz NOT NULL DEFAULT 'epoch',
    password_set_at     timestamptz NOT NULL DEFAULT 'epoch',
    opens_at            timestamptz NOT NULL DEFAULT 'epoch',
    untold              integer     NOT NULL DEFAULT 0,
    refusals_told_at    timestamptz NOT NULL DEFAULT 'epoch',
    throttlings_told_at timestamptz NOT NULL DEFAULT 'epoch',
    CONSTRAINT throttle_pkey PRIMARY KEY (key),
    CONSTRAINT throttle_key_is_a_hash CHECK (octet_length(key) = 32),
    CONSTRAINT throttle_scope_is_named CHECK (scope <> ''),
    CONSTRAINT throttle_counts_are_not_negative CHECK (failures >= 0 AND untold >= 0),
    CONSTRAINT throttle_times_are_finite CHECK (isfinite(charged_at) AND isfinite(opens_at))
) WITH (fillfactor = 50);

COMMENT ON COLUMN throttle.failures IS 'in a row, those under way included; 0 in rows that count by time alone';
COMMENT ON COLUMN throttle.charged_at IS 'when the last guess was charged';
COMMENT ON COLUMN throttle.password_set_at IS 'which password was guessed at: guesses at another one are void';
COMMENT ON COLUMN throttle.opens_at IS 'the next guess is let in from then on';
COMMENT ON COLUMN throttle.untold IS 'refusals since the last one that has a row in audit_events';

-- +goose Down
SET LOCAL lock_timeout = '5s';
DROP TABLE throttle;
