-- What the log says about persons, activities, deals and leads, and the scores that follow.
--
-- A source row is written by whoever reads its partition (persons under a lock, because a merge
-- writes the loser's row too); a contact's row only by whoever holds that contact's lock.
-- That is why persons and contacts are two tables: one table would mix the two orders of locking.

CREATE TABLE persons (
    company_id       bigint   NOT NULL,
    person_id        bigint   NOT NULL,
    version          bigint   NOT NULL,
    rank             smallint NOT NULL,
    event_id         text     NOT NULL,
    deleted          boolean  NOT NULL,
    lag              jsonb,
    has_email        boolean,
    has_phone        boolean,
    org_id           bigint,
    job_title        text,
    custom_job_title text,
    lead_status      smallint,
    response_rate    float8,
    merged_into      bigint,
    PRIMARY KEY (company_id, person_id)
) WITH (fillfactor = 85);
-- Merges are rare: these two stay small, and following merges costs next to nothing.
CREATE INDEX persons_merged_away ON persons (company_id, person_id)
    WHERE deleted AND merged_into IS NOT NULL;
CREATE INDEX persons_by_survivor ON persons (company_id, merged_into)
    WHERE deleted AND merged_into IS NOT NULL;

-- `moment` is when it was done; null while it is not, and once it is deleted.
CREATE TABLE activities (
    company_id  bigint   NOT NULL,
    activity_id bigint   NOT NULL,
    version     bigint   NOT NULL,
    rank        smallint NOT NULL,
    event_id    text     NOT NULL,
    deleted     boolean  NOT NULL,
    lag         jsonb,
    person_id   bigint,
    kind        text,
    due_date    date,
    done        boolean,
    done_at     timestamptz,
    occurred_at timestamptz,
    moment      timestamptz,
    PRIMARY KEY (company_id, activity_id)
) WITH (fillfactor = 85);
CREATE INDEX activities_by_person ON activities (company_id, person_id)
    WHERE person_id IS NOT NULL AND NOT deleted;

CREATE TABLE deals (
    company_id bigint   NOT NULL,
    deal_id    bigint   NOT NULL,
    version    bigint   NOT NULL,
    rank       smallint NOT NULL,
    event_id   text     NOT NULL,
    deleted    boolean  NOT NULL,
    lag        jsonb,
    person_id  bigint,
    amount     float8,
    currency   text,
    is_lost    boolean,
    PRIMARY KEY (company_id, deal_id)
) WITH (fillfactor = 85);
CREATE INDEX deals_by_person ON deals (company_id, person_id)
    WHERE person_id IS NOT NULL AND NOT deleted;

-- Statuses are bits: 1 qualified, 2 contacted.
CREATE TABLE leads (
    company_id    bigint   NOT NULL,
    lead_id       text     NOT NULL,
    version       bigint   NOT NULL,
    rank          smallint NOT NULL,
    event_id      text     NOT NULL,
    deleted       boolean  NOT NULL,
    lag           jsonb,
    person_id     bigint,
    is_archived   boolean,
    label_status  smallint,
    custom_status smallint,
    PRIMARY KEY (company_id, lead_id)
) WITH (fillfactor = 85);
CREATE INDEX leads_by_person ON leads (company_id, person_id)
    WHERE person_id IS NOT NULL AND NOT deleted;

-- One row for each person row; without a score while the person is deleted.
-- `published` is the version last told to others; it only grows.
CREATE TABLE contacts (
    company_id     bigint NOT NULL,
    person_id      bigint NOT NULL,
    contact_id     uuid   NOT NULL,
    score          smallint,
    points         jsonb,
    last_contacted timestamptz,
    next_change_at timestamptz,
    published      bigint NOT NULL,
    PRIMARY KEY (company_id, person_id)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX contacts_by_id ON contacts (company_id, contact_id);
CREATE INDEX contacts_due ON contacts (next_change_at) WHERE next_change_at IS NOT NULL;

-- Every change of a score. `old_score` is null for the first; `cause` is event or time.
CREATE TABLE score_changes (
    company_id      bigint      NOT NULL,
    person_id       bigint      NOT NULL,
    at              timestamptz NOT NULL,
    version         bigint      NOT NULL,
    old_score       smallint,
    new_score       smallint    NOT NULL,
    points          jsonb       NOT NULL,
    cause           text        NOT NULL,
    topic           text,
    event_id        text,
    weights_version int         NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX score_changes_by_person ON score_changes (company_id, person_id, version);
-- Takes what no month is there for; such rows stay in it until they are pruned.
CREATE TABLE score_changes_default PARTITION OF score_changes DEFAULT;

-- The lock on the parent is waited for briefly: behind a waiting ALTER all writers would queue.
CREATE FUNCTION add_score_changes_month(day date) RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    first_day date := make_date(extract(year FROM day)::int, extract(month FROM day)::int, 1);
    lower_end timestamptz := first_day::timestamp AT TIME ZONE 'UTC';
    upper_end timestamptz := (first_day + interval '1 month') AT TIME ZONE 'UTC';
    child     text := 'score_changes_' || to_char(first_day, 'YYYYMM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('score_changes'), hashtext(current_schema()));
    IF to_regclass(format('%I.%I', current_schema(), child)) IS NOT NULL
       OR EXISTS (SELECT FROM score_changes_default WHERE at >= lower_end AND at < upper_end)
    THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF score_changes FOR VALUES FROM (%L) TO (%L)',
                   child, lower_end, upper_end);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

CREATE FUNCTION drop_score_changes_before(cutoff timestamptz) RETURNS int
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    child   text;
    dropped int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('score_changes'), hashtext(current_schema()));
    FOR child IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
         WHERE inhparent = 'score_changes'::regclass AND relname ~ '^score_changes_\d{6}$'
           AND (to_date(right(relname, 6), 'YYYYMM') + interval '1 month') AT TIME ZONE 'UTC'
               <= cutoff
    LOOP
        EXECUTE format('DROP TABLE %I', child);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM score_changes_default WHERE at < cutoff;
    RETURN dropped;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END
$$;
