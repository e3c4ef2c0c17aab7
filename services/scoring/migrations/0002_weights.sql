-- What companies decided about their weights, and how far the rescoring that follows has come.

-- Append-only. `version` is the stamp of the decision; a decision's number is its place in the
-- order of (version, event_id), counted from 2: number 1 are the weights that nobody decided.
CREATE TABLE decided_weights (
    company_id bigint      NOT NULL,
    version    bigint      NOT NULL,
    event_id   text        NOT NULL,
    decided_at timestamptz NOT NULL,
    user_id    bigint      NOT NULL,
    reason     text        NOT NULL,
    weights    jsonb       NOT NULL,
    PRIMARY KEY (company_id, version, event_id)
);

-- The rates that scores rest on, as they were last taken from the tenants file. Kept here so that
-- all processes change over at one instant, whenever each of them reads the file.
CREATE TABLE currency_rates (
    company_id bigint NOT NULL PRIMARY KEY,
    rates      jsonb  NOT NULL
);

-- The company's last rescoring of all contacts. `cause` is weights or rates; contacts up to
-- `last_person_id` are done. The row's lock is what lets one instance at a time work on it.
CREATE TABLE rescorings (
    company_id     bigint      NOT NULL PRIMARY KEY,
    cause          text        NOT NULL,
    asked_at       timestamptz NOT NULL,
    started_at     timestamptz,
    moved_at       timestamptz,
    finished_at    timestamptz,
    last_person_id bigint      NOT NULL DEFAULT -1,
    total          bigint,
    done           bigint      NOT NULL DEFAULT 0
);
CREATE INDEX rescorings_open ON rescorings (moved_at NULLS FIRST) WHERE finished_at IS NULL;
