-- One synchronisation. `mark` is how far it is, `counts` what it did in each list; `since`,
-- `behind` and `mended_at` are the company's as it began. What is lost of it is read anew.
CREATE TABLE syncs (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id  bigint      NOT NULL,
    mode        text        NOT NULL,
    cause       text        NOT NULL,
    state       text        NOT NULL DEFAULT 'queued',
    since       timestamptz,
    behind      jsonb,
    mended_at   timestamptz,
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

-- What a walk by offset has handed on, a row for each page: the ids and, beside each, the value of
-- the field by which the list is sorted. With the sync's mark it says where the walk goes on when
-- it was broken off, and at its end which known rows it did not show; then it is forgotten.
CREATE TABLE walked (
    sync_id uuid    NOT NULL REFERENCES syncs (id) ON DELETE CASCADE,
    list    text    NOT NULL,
    ids     bytea[] NOT NULL,
    sorts   bytea[] NOT NULL
);
CREATE INDEX walked_by_list ON walked (sync_id, list);

-- Known rows that a walk did not show, until they have been asked for one by one.
CREATE TABLE suspects (
    sync_id uuid  NOT NULL REFERENCES syncs (id) ON DELETE CASCADE,
    list    text  NOT NULL,
    place   bytea NOT NULL,
    PRIMARY KEY (sync_id, list, place)
);
