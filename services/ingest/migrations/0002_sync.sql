-- What the sync knows and how far it has come. All of it can be lost: a full sync makes it anew.

-- A company whose data we keep in step. `since` is where the next delta begins: when the last
-- complete sync did. `hook_digest` tells whether the webhook still has our credentials.
CREATE TABLE connections (
    company_id      bigint PRIMARY KEY,
    since           timestamptz,
    incremental_due timestamptz,
    full_due        timestamptz,
    hook_id         bigint,
    hook_url        text,
    hook_digest     bytea,
    hook_checked_at timestamptz NOT NULL DEFAULT '-infinity',
    last_event_at   timestamptz,
    last_lag_ms     bigint
);

-- One synchronisation. `mark` is how far it is, `counts` what it did in each list.
CREATE TABLE syncs (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id  bigint      NOT NULL,
    mode        text        NOT NULL,
    cause       text        NOT NULL,
    state       text        NOT NULL DEFAULT 'queued',
    since       timestamptz,
    mark        jsonb       NOT NULL DEFAULT '{}',
    counts      jsonb       NOT NULL DEFAULT '{}',
    errors      jsonb       NOT NULL DEFAULT '[]',
    tokens      bigint      NOT NULL DEFAULT 0,
    reason      text,
    due_at      timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz
);
CREATE UNIQUE INDEX syncs_unfinished ON syncs (company_id) WHERE finished_at IS NULL;
CREATE INDEX syncs_by_company ON syncs (company_id, created_at DESC);

-- Each entity that we have told of, or heard of by a webhook. `place` is its id in the order of
-- the list that it stands in; `version` is the newest that anybody told; `told`, `turn` and `digest`
-- are what the sync told last, null where only webhooks have told.
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

-- Known rows that a walk did not show, until they have been asked for one by one.
CREATE TABLE suspects (
    sync_id uuid  NOT NULL REFERENCES syncs (id) ON DELETE CASCADE,
    list    text  NOT NULL,
    place   bytea NOT NULL,
    PRIMARY KEY (sync_id, list, place)
);

-- Rows that changed by a webhook which does not carry all that REST tells.
CREATE TABLE incomplete (
    company_id bigint NOT NULL,
    entity     text   NOT NULL,
    place      bytea  NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, entity, place)
);
