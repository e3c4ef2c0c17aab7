-- What a user's numbers and organizations are answered from: counters, moved in the transaction
-- that moves what they count, and an index in the order in which organizations are listed.

-- A name as it is looked for and sorted by: in lower case, without accents. Longer ones are cut,
-- since an index cannot hold them.
CREATE FUNCTION folded(name text) RETURNS text
    IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN left(translate(replace(replace(replace(
    regexp_replace(normalize(lower(name COLLATE pg_catalog.pg_c_utf8), NFKD),
                   '[\u0300-\u036f]+', '', 'g'),
    'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'øłđðþı', 'olddti'), 500);

ALTER TABLE organizations
    ADD COLUMN sort_name text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (coalesce(folded(name), '')) STORED;

-- `living` and `sort_name` are the organization's: an index cannot reach into another table.
ALTER TABLE user_organizations
    ADD COLUMN living    boolean NOT NULL DEFAULT false,
    ADD COLUMN sort_name text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN fewest    bigint NOT NULL GENERATED ALWAYS AS (-contacts) STORED;

UPDATE user_organizations AS share
   SET living = NOT o.deleted, sort_name = o.sort_name
  FROM organizations AS o
 WHERE o.company_id = share.company_id AND o.organization_id = share.organization_id;

-- Every part ascending, so that one row comparison continues the list.
CREATE INDEX user_organizations_in_order ON user_organizations
    (company_id, owner_id, fewest, sort_name, organization_id)
 WHERE contacts > 0 AND living;

DROP INDEX user_organizations_of_user;

-- Of a user's contacts: how many organizations that live they belong to, and how many of them do.
CREATE TABLE user_totals (
    company_id    bigint NOT NULL,
    owner_id      bigint NOT NULL,
    organizations bigint NOT NULL,
    linked        bigint NOT NULL,
    PRIMARY KEY (company_id, owner_id)
) WITH (fillfactor = 50);

INSERT INTO user_totals
SELECT company_id, owner_id, count(*), sum(contacts)
  FROM user_organizations
 WHERE contacts > 0 AND living
 GROUP BY company_id, owner_id;

-- Activities that count for a user's contacts, those of persons merged into them among them.
-- `week` is a Monday, or -infinity; `type` is empty where Pipedrive names none.
CREATE TABLE user_activities (
    company_id bigint  NOT NULL,
    owner_id   bigint  NOT NULL,
    week       date    NOT NULL,
    type       text    NOT NULL,
    done       boolean NOT NULL,
    activities bigint  NOT NULL,
    PRIMARY KEY (company_id, owner_id, week, type, done)
) WITH (fillfactor = 50);

-- Persons count for whoever owns them, or owns the one at the end of their merges; a chain that
-- bites its tail ends nowhere. Contacts have no index by person: what follows must be planned on
-- what they really are.
ANALYZE contacts, activities;

INSERT INTO user_activities
WITH RECURSIVE losers AS MATERIALIZED (
    SELECT company_id, person_id, merged_into
      FROM contacts
     WHERE deleted AND merged_into IS NOT NULL
), chain (company_id, person_id, at) AS (
    SELECT company_id, person_id, merged_into FROM losers
     UNION
    SELECT chain.company_id, chain.person_id, losers.merged_into
      FROM chain
      JOIN losers ON losers.company_id = chain.company_id AND losers.person_id = chain.at
), counted AS (
    SELECT company_id, person_id, owner_id FROM contacts WHERE listed
     UNION ALL
    SELECT chain.company_id, chain.person_id, shown.owner_id
      FROM chain
      JOIN contacts AS shown
        ON shown.company_id = chain.company_id AND shown.person_id = chain.at AND shown.listed
)
SELECT counted.company_id, counted.owner_id,
       coalesce(nullif(date_trunc('week', coalesce(own.due_date,
                                  (own.add_time AT TIME ZONE 'UTC')::date)::timestamp)::date,
                       '0001-01-01'), '-infinity'),
       left(coalesce(own.type, ''), 100), coalesce(own.done, false), count(*)
  FROM counted
  JOIN activities AS own
    ON own.company_id = counted.company_id AND own.person_id = counted.person_id
   AND NOT own.deleted
 GROUP BY 1, 2, 3, 4, 5;
