-- What users asked for, so that asking again does nothing again. Rows live for a day.
CREATE TABLE commands (
    company_id    bigint      NOT NULL,
    user_id       bigint      NOT NULL,
    key           text        NOT NULL,
    asked         bytea       NOT NULL, -- digest of what is asked for
    asked_at      timestamptz NOT NULL DEFAULT now(),
    working_until timestamptz NOT NULL, -- until then somebody is at it, unless there is an answer
    status        smallint,             -- of the answer, once there is one
    answer        bytea,                -- repeated to the byte, which jsonb would not do
    PRIMARY KEY (company_id, user_id, key)
) WITH (fillfactor = 80);

CREATE INDEX commands_unanswered ON commands (company_id, user_id, asked) WHERE status IS NULL;

-- What is to be made in Pipedrive, once: for a command, or as an organization's record there.
-- `first_sent_at` stands from before Pipedrive is asked until its answer is known.
CREATE TABLE undertakings (
    company_id    bigint      NOT NULL,
    kind          text        NOT NULL,
    name          text        NOT NULL,
    asked         bytea,                -- digest of the request that it is made for; null: of any
    begun_at      timestamptz NOT NULL DEFAULT now(),
    working_until timestamptz NOT NULL,
    first_sent_at timestamptz,
    sent_at       timestamptz,
    pipedrive_id  bigint,
    row           jsonb,
    PRIMARY KEY (company_id, kind, name)
) WITH (fillfactor = 80);

-- Of two that look for what they may have made, one finds it.
CREATE UNIQUE INDEX undertakings_made ON undertakings (company_id, kind, pipedrive_id)
 WHERE pipedrive_id IS NOT NULL;
