-- Each entity that we have told of, or heard of by a webhook. `place` is its id in the order of
-- the list that it stands in; `version` is the newest that anybody told; `told`, `turn` and
-- `digest` are what the sync told last, null where only webhooks have told.
CREATE TABLE known (
    company_id bigint  NOT NULL,
    entity     text    NOT NULL,
    place      bytea   NOT NULL,
    list       text    NOT NULL,
    version    bigint  NOT NULL,
    deleted    boolean NOT NULL,
    told       bigint,
    turn       int     NOT NULL,
    digest     bytea,
    PRIMARY KEY (company_id, entity, place)
) WITH (fillfactor = 90);

-- A full sync does not make it anew: it finds by these ids what Pipedrive has no more. A lost
-- table is heard anew from the log, whose offsets stand beside it.
COMMENT ON TABLE known IS
    'Do not delete rows: what Pipedrive has no more is found by them. To have all rows told again '
    'set digest to null. Where they were lost, empty consumer_offsets while no sync role runs.';

-- Rows that changed by a webhook which does not carry all that REST tells.
CREATE TABLE incomplete (
    company_id bigint NOT NULL,
    entity     text   NOT NULL,
    place      bytea  NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, entity, place)
);

-- What the options of Pipedrive's own fields are called: rows hold their ids.
CREATE TABLE field_options (
    company_id bigint NOT NULL,
    entity     text   NOT NULL,
    field      text   NOT NULL,
    id         bigint NOT NULL,
    name       text   NOT NULL,
    PRIMARY KEY (company_id, entity, field, id)
);
