-- What every store has: where it stands in the log, and what it has yet to tell.

CREATE TABLE consumer_offsets (
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- One row a key: a state that changes again before it is published replaces the one before,
-- so a burst costs one record and the order within a key cannot be lost.
CREATE SEQUENCE outbox_place;
CREATE TABLE outbox (
    topic   text   NOT NULL,
    key     bytea  NOT NULL,
    place   bigint NOT NULL DEFAULT nextval('outbox_place'),
    payload bytea  NOT NULL,
    PRIMARY KEY (topic, key)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX outbox_by_place ON outbox (place);
