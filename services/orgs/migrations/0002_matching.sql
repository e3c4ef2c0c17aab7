-- What records are compared by beside their normalized name, what people said about them, and what
-- people are asked. The extensions' operators are looked up in public from every schema.
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;

-- Derived from the record by the code that `keys_version` names; older ones are derived anew.
-- `telling` are the words of the core key that tell something, for the trigram index. `unasked`
-- until it was looked whether the record resembles another. `made_by` is the user who made it.
ALTER TABLE records
  ADD COLUMN made_by      bigint,
  ADD COLUMN keys_version int     NOT NULL DEFAULT 0,
  ADD COLUMN core_key     uuid,
  ADD COLUMN legal_form   text,
  ADD COLUMN numbers      bigint[],
  ADD COLUMN domain       text,
  ADD COLUMN country_code text,
  ADD COLUMN postcode_key text,
  ADD COLUMN place_key    text,
  ADD COLUMN telling      text,
  ADD COLUMN unasked      boolean NOT NULL DEFAULT true;
CREATE INDEX records_by_core ON records (company_id, core_key)
 WHERE core_key IS NOT NULL AND NOT deleted;
CREATE INDEX records_by_domain ON records (company_id, domain)
 WHERE domain IS NOT NULL AND NOT deleted;
CREATE INDEX records_by_place ON records (company_id, place_key)
 WHERE place_key IS NOT NULL AND NOT deleted;
CREATE INDEX records_alike ON records USING gin (company_id, telling gin_trgm_ops)
  WITH (fastupdate = off)  -- what waits to be indexed would be read whole by every look-up
 WHERE telling IS NOT NULL AND NOT deleted;
CREATE INDEX records_unasked ON records (company_id, record_id) WHERE unasked;

-- Every name that a record was ever told to have, the one it has among them.
CREATE TABLE aliases (
    company_id    bigint NOT NULL,
    record_id     uuid   NOT NULL,
    name_key      uuid   NOT NULL,
    name          text   NOT NULL,
    first_version bigint NOT NULL,
    last_version  bigint NOT NULL,
    PRIMARY KEY (company_id, record_id, name_key)
);
CREATE INDEX aliases_by_name ON aliases (company_id, name_key);

-- Every web domain that a record was ever told to have, the one it has among them.
CREATE TABLE domains (
    company_id    bigint NOT NULL,
    record_id     uuid   NOT NULL,
    domain        text   NOT NULL,
    first_version bigint NOT NULL,
    last_version  bigint NOT NULL,
    PRIMARY KEY (company_id, record_id, domain)
);

-- What people said: the records of both sides are one organization ("same"), or each of the one
-- side is another organization than each of the other ("distinct").
CREATE TABLE verdicts (
    company_id      bigint   NOT NULL,
    verdict_id      uuid     NOT NULL,
    version         bigint   NOT NULL,
    rank            smallint NOT NULL,
    event_id        text     NOT NULL,
    deleted         boolean  NOT NULL,
    lag             jsonb,
    decision        text,
    left_records    uuid[],
    right_records   uuid[],
    left_id         uuid,
    right_id        uuid,
    decided_by      bigint,
    reason          text,
    score           float8,
    matcher_version int,
    review_id       uuid,
    withdrawn       boolean,
    withdrawn_by    bigint,
    PRIMARY KEY (company_id, verdict_id)
);
CREATE INDEX verdicts_by_version ON verdicts (company_id, version DESC, verdict_id);
CREATE INDEX verdicts_by_review ON verdicts (company_id, review_id) WHERE review_id IS NOT NULL;

CREATE TABLE verdict_members (
    company_id bigint NOT NULL,
    record_id  uuid   NOT NULL,
    verdict_id uuid   NOT NULL,
    PRIMARY KEY (company_id, record_id, verdict_id)
);

-- Two records that may be one organization; `told` are features and reasons. Whether there is
-- anything left to ask is seen when it is read: not once they are one organization, or a person has
-- said that they are not. A record beside itself: is it what it was? Until a person has said so.
CREATE TABLE reviews (
    company_id bigint NOT NULL,
    review_id  uuid   NOT NULL,
    one        uuid   NOT NULL,
    other      uuid   NOT NULL,
    score      float8 NOT NULL,
    told       jsonb  NOT NULL,
    PRIMARY KEY (company_id, review_id)
);
CREATE INDEX reviews_by_one ON reviews (company_id, one);
CREATE INDEX reviews_by_other ON reviews (company_id, other);
CREATE INDEX reviews_by_score ON reviews (company_id, score DESC, review_id);
