-- The search index: for each user an inverted index of the user's own contacts. Its documents are
-- slots, small numbers given to contacts, so that the contacts with a word are a bitmap.
-- It is written by the indexer alone, from what the projector queued in the same transaction as the
-- change; what is queued is searched row by row until then. For who has no row in search_users
-- nothing is queued.

-- What the index does not know yet: a contact, or an organization whose name changed.
CREATE TABLE search_pending (
    company_id      bigint NOT NULL,
    owner_id        bigint NOT NULL,
    seq             bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    contact_id      uuid,
    organization_id uuid,
    PRIMARY KEY (company_id, owner_id, seq)
) WITH (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.2
);

-- Who has an index, or is about to have one.
CREATE TABLE search_users (
    company_id bigint  NOT NULL,
    owner_id   bigint  NOT NULL,
    is_built   boolean NOT NULL DEFAULT false,
    next_slot  int     NOT NULL DEFAULT 0,
    next_word  int     NOT NULL DEFAULT 0,
    PRIMARY KEY (company_id, owner_id)
) WITH (fillfactor = 50);

CREATE TABLE search_free_slots (
    company_id bigint NOT NULL,
    owner_id   bigint NOT NULL,
    slot       int    NOT NULL,
    PRIMARY KEY (company_id, owner_id, slot)
);

-- Where a slot's contact stands in the list. Narrow, and apart from the text: scores move often.
CREATE TABLE search_slots (
    company_id      bigint   NOT NULL,
    owner_id        bigint   NOT NULL,
    slot            int      NOT NULL,
    contact_id      uuid     NOT NULL,
    not_in_campaign boolean  NOT NULL,
    score           smallint NOT NULL,
    contacted_key   bigint   NOT NULL,
    created_key     bigint   NOT NULL,
    PRIMARY KEY (company_id, owner_id, slot)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE UNIQUE INDEX search_slots_of_contact ON search_slots
    (company_id, owner_id, contact_id) INCLUDE (slot);

-- Slots whose contact went to another score, or to the campaign's other side: the bucket that they
-- are indexed under is not theirs.
CREATE TABLE search_moved (
    company_id bigint NOT NULL,
    owner_id   bigint NOT NULL,
    seq        bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    slot       int    NOT NULL,
    PRIMARY KEY (company_id, owner_id, seq)
) WITH (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.2
);

-- What a slot's contact is indexed under; `bucket` is 11 times its side of the campaign and its
-- score.
CREATE TABLE search_documents (
    company_id      bigint NOT NULL,
    owner_id        bigint NOT NULL,
    slot            int    NOT NULL,
    name            text,
    email           text,
    phone           text,
    organization_id uuid,
    bucket          smallint NOT NULL,
    PRIMARY KEY (company_id, owner_id, slot)
) WITH (fillfactor = 80);

-- The name that an organization's contacts of this user are indexed under.
CREATE TABLE search_organizations (
    company_id      bigint NOT NULL,
    owner_id        bigint NOT NULL,
    organization_id uuid   NOT NULL,
    name            text,
    PRIMARY KEY (company_id, owner_id, organization_id)
) WITH (fillfactor = 90);

-- Every word of the user's contacts; its slot is what the letter groups below refer to.
CREATE TABLE search_words (
    company_id bigint NOT NULL,
    owner_id   bigint NOT NULL,
    word       text   COLLATE "C" NOT NULL,
    slot       int    NOT NULL,
    contacts   int    NOT NULL,
    PRIMARY KEY (company_id, owner_id, word)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX search_words_by_slot ON search_words (company_id, owner_id, slot)
    INCLUDE (word);

-- The slots that have a term, 8,192 to a chunk: two bytes each, or one bit each.
CREATE TABLE search_postings (
    company_id bigint   NOT NULL,
    owner_id   bigint   NOT NULL,
    word       text     COLLATE "C" NOT NULL,
    kind       smallint NOT NULL,
    chunk      int      NOT NULL,
    slots      bytea    NOT NULL,
    PRIMARY KEY (company_id, owner_id, word, kind, chunk)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
ALTER TABLE search_postings ALTER COLUMN slots SET STORAGE PLAIN;

-- Those without an index, and how many contacts they have.
CREATE VIEW search_unannounced AS
SELECT company_id, owner_id, sum(contacts)::bigint AS contacts
  FROM user_counts
 WHERE NOT EXISTS (SELECT
                     FROM search_users
                    WHERE search_users.company_id = user_counts.company_id
                      AND search_users.owner_id = user_counts.owner_id)
 GROUP BY company_id, owner_id;
