-- The read model. Each contact's columns come from four topics: the person's from a register of
-- its own, the others under the version their sender gave them. A row may begin with any of them.

CREATE TABLE contacts (
    contact_id       uuid     PRIMARY KEY,
    company_id       bigint   NOT NULL,
    person_id        bigint   NOT NULL,

    version          bigint   NOT NULL DEFAULT 0,
    rank             smallint NOT NULL DEFAULT 0,
    event_id         text     NOT NULL DEFAULT '',
    deleted          boolean  NOT NULL DEFAULT true,
    lag              jsonb,
    owner_id         bigint,
    name             text,
    email            text,
    phone            text,
    job_title        text,
    custom_job_title text,
    add_time         timestamptz,
    update_time      timestamptz,
    merged_into      bigint,

    link_version     bigint   NOT NULL DEFAULT 0,
    organization_id  uuid,

    score_version    bigint   NOT NULL DEFAULT 0,
    score            smallint NOT NULL DEFAULT 0,
    last_contacted   timestamptz,

    campaign_version  bigint   NOT NULL DEFAULT 0,
    campaign_rank     smallint NOT NULL DEFAULT 0,
    campaign_event_id text     NOT NULL DEFAULT '',
    added_to_campaign boolean  NOT NULL DEFAULT false,

    -- The order of the list, every part ascending, so that one row comparison continues it.
    listed           boolean NOT NULL GENERATED ALWAYS AS
                     (NOT deleted AND owner_id IS NOT NULL) STORED,
    not_in_campaign  boolean NOT NULL GENERATED ALWAYS AS (NOT added_to_campaign) STORED,
    contacted_key    bigint  NOT NULL GENERATED ALWAYS AS
                     (coalesce((extract(epoch FROM last_contacted - '1970-01-01 00:00+00')
                                * 1000000)::bigint, 9223372036854775807)) STORED,
    -- Of a version its second, which is what a page shows.
    created_key      bigint  NOT NULL GENERATED ALWAYS AS
                     (-coalesce((extract(epoch FROM coalesce(add_time, update_time)
                                                    - '1970-01-01 00:00+00')
                                 * 1000000)::bigint, version / 1000000 * 1000000)) STORED
) WITH (
    fillfactor = 85,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX contacts_in_order ON contacts
    (company_id, owner_id, not_in_campaign, score, contacted_key, created_key, contact_id)
 WHERE listed;

CREATE INDEX contacts_in_order_by_organization ON contacts
    (company_id, owner_id, organization_id,
     not_in_campaign, score, contacted_key, created_key, contact_id)
 WHERE listed AND organization_id IS NOT NULL;

CREATE INDEX contacts_merged ON contacts (company_id, merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE organizations (
    company_id       bigint  NOT NULL,
    organization_id  uuid    NOT NULL,
    version          bigint  NOT NULL,
    deleted          boolean NOT NULL,
    merged_into      uuid,
    name             text,
    pipedrive_org_id text,
    industry         text,
    size             text,
    website          text,
    address          text,
    country          text,
    city             text,
    contact_count    int     NOT NULL,
    last_activity    timestamptz,
    PRIMARY KEY (company_id, organization_id)
) WITH (fillfactor = 85);

CREATE TABLE activities (
    company_id  bigint   NOT NULL,
    activity_id bigint   NOT NULL,
    version     bigint   NOT NULL,
    rank        smallint NOT NULL,
    event_id    text     NOT NULL,
    deleted     boolean  NOT NULL,
    lag         jsonb,
    person_id   bigint,
    type        text,
    subject     text,
    done        boolean,
    due_date    date,
    add_time    timestamptz,
    PRIMARY KEY (company_id, activity_id)
) WITH (fillfactor = 90);

CREATE INDEX activities_newest ON activities
    (company_id, person_id, add_time DESC NULLS LAST, activity_id DESC)
 WHERE NOT deleted AND person_id IS NOT NULL;

-- Counters, moved in the transaction that moves the contacts they count: a page's total, and
-- where in the order its first row lies, cost no scan.
CREATE TABLE user_counts (
    company_id      bigint   NOT NULL,
    owner_id        bigint   NOT NULL,
    not_in_campaign boolean  NOT NULL,
    score           smallint NOT NULL,
    contacts        bigint   NOT NULL,
    PRIMARY KEY (company_id, owner_id, not_in_campaign, score)
) WITH (fillfactor = 50);

-- The users who see an organization, and how many contacts of theirs belong to it.
CREATE TABLE user_organizations (
    company_id      bigint NOT NULL,
    organization_id uuid   NOT NULL,
    owner_id        bigint NOT NULL,
    contacts        bigint NOT NULL,
    PRIMARY KEY (company_id, organization_id, owner_id)
) WITH (fillfactor = 80);

CREATE INDEX user_organizations_of_user ON user_organizations
    (company_id, owner_id, organization_id);

CREATE TABLE sync_status (
    company_id   bigint PRIMARY KEY,
    version      bigint NOT NULL,
    state        text   NOT NULL,
    last_sync_at timestamptz,
    processed    bigint NOT NULL,
    failed       bigint NOT NULL
);

-- Names this read model in Redis: another one there, or one built anew, shares no page with it.
CREATE TABLE store (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    store_id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO store DEFAULT VALUES;

-- A contact with its organization, if that lives: what the pages show, but for the activities.
CREATE VIEW shown_contacts AS
SELECT c.contact_id, c.company_id, c.person_id, c.owner_id, c.listed,
       c.name, c.email, c.phone, coalesce(c.job_title, c.custom_job_title) AS job_title,
       c.score, c.last_contacted, c.added_to_campaign, c.add_time, c.update_time, c.version,
       greatest(c.version, c.link_version, c.score_version, c.campaign_version) AS newest_version,
       c.not_in_campaign, c.contacted_key, c.created_key,
       o.organization_id, o.name AS organization_name, o.pipedrive_org_id, o.industry, o.size,
       o.website, o.address, o.country, o.city, o.contact_count, o.last_activity
  FROM contacts AS c
  LEFT JOIN organizations AS o
    ON o.company_id = c.company_id AND o.organization_id = c.organization_id AND NOT o.deleted;
