-- The tenant comes first in every key and index: no lookup can cross it.

-- One row a Pipedrive organization or organization that a user made. `organization_id` is where
-- what names the record belongs: its organization while it lives, its survivor's once it was merged
-- away, none once it was deleted. `name_key` stands for the normalized name in 16 bytes, as names
-- can be longer than an index entry may be; an empty name has none and matches nothing.
CREATE TABLE records (
    company_id       bigint   NOT NULL,
    record_id        uuid     NOT NULL,
    pipedrive_org_id bigint,
    version          bigint   NOT NULL,
    rank             smallint NOT NULL,
    event_id         text     NOT NULL,
    deleted          boolean  NOT NULL,
    lag              jsonb,
    name             text,
    industry         text,
    size             text,
    website          text,
    address          text,
    country          text,
    city             text,
    postcode         text,
    merged_into      bigint,
    normalized_name  text     NOT NULL,
    name_key         uuid,
    organization_id  uuid,
    last_moment      timestamptz,
    PRIMARY KEY (company_id, record_id)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX records_by_pipedrive_id ON records (company_id, pipedrive_org_id)
 WHERE pipedrive_org_id IS NOT NULL;
CREATE INDEX records_by_name ON records (company_id, name_key) WHERE name_key IS NOT NULL;
CREATE INDEX records_by_organization
    ON records (company_id, organization_id, last_moment DESC NULLS LAST)
 WHERE organization_id IS NOT NULL;

-- One row an id that ever was an organization's.
CREATE TABLE organizations (
    company_id       bigint  NOT NULL,
    organization_id  uuid    NOT NULL,
    name             text,
    pipedrive_org_id bigint,
    industry         text,
    size             text,
    website          text,
    address          text,
    country          text,
    city             text,
    contact_count    int     NOT NULL,
    last_activity    timestamptz,
    deleted          boolean NOT NULL,
    merged_into      uuid,
    published        bigint  NOT NULL,
    PRIMARY KEY (company_id, organization_id)
) WITH (fillfactor = 70);

-- One row a Pipedrive person. `last_moment` is the newest moment of the contact's done activities,
-- those of persons merged into it included; a merged-away person has none of its own.
CREATE TABLE contacts (
    company_id      bigint   NOT NULL,
    person_id       bigint   NOT NULL,
    version         bigint   NOT NULL,
    rank            smallint NOT NULL,
    event_id        text     NOT NULL,
    deleted         boolean  NOT NULL,
    lag             jsonb,
    org_id          bigint,
    merged_into     bigint,
    organization_id uuid,
    last_moment     timestamptz,
    published       bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (company_id, person_id)
) WITH (fillfactor = 85);
CREATE INDEX contacts_by_pipedrive_org ON contacts (company_id, org_id) WHERE org_id IS NOT NULL;
CREATE INDEX contacts_by_organization
    ON contacts (company_id, organization_id, last_moment DESC NULLS LAST)
 WHERE organization_id IS NOT NULL;

-- `moment` is when the activity was done; none while it is not, or is deleted.
CREATE TABLE activities (
    company_id          bigint   NOT NULL,
    activity_id         bigint   NOT NULL,
    version             bigint   NOT NULL,
    rank                smallint NOT NULL,
    event_id            text     NOT NULL,
    deleted             boolean  NOT NULL,
    lag                 jsonb,
    person_id           bigint,
    org_id              bigint,
    done                boolean,
    due_date            date,
    marked_as_done_time timestamptz,
    occurred_at         timestamptz,
    moment              timestamptz,
    PRIMARY KEY (company_id, activity_id)
) WITH (fillfactor = 85);
CREATE INDEX activities_by_person ON activities (company_id, person_id, moment)
 WHERE moment IS NOT NULL AND person_id IS NOT NULL;
CREATE INDEX activities_by_org ON activities (company_id, org_id, moment)
 WHERE moment IS NOT NULL AND org_id IS NOT NULL;

-- Who was merged away in Pipedrive, into whom, and at whom the chain ends.
CREATE TABLE merges (
    company_id bigint NOT NULL,
    kind       text   NOT NULL,
    loser      bigint NOT NULL,
    survivor   bigint NOT NULL,
    root       bigint NOT NULL,
    PRIMARY KEY (company_id, kind, loser)
);
CREATE INDEX merges_by_root ON merges (company_id, kind, root);
