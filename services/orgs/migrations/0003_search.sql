-- What autocomplete looks in, kept by the worker in the transaction that changes an organization.
-- The tenant comes first in every key and index; in `tokens` it is inside each token's hash.

-- One row a living organization that has a name. `folded` is its words of plain letters, a blank
-- before each, cut to what an index entry may hold. `popularity` grows with the logarithm of its
-- contacts, so that one contact more rarely moves a row in the index.
CREATE TABLE search_names (
    company_id      bigint   NOT NULL,
    organization_id uuid     NOT NULL,
    folded          text     NOT NULL COLLATE "C",
    popularity      smallint NOT NULL,
    fold_version    smallint NOT NULL,
    PRIMARY KEY (company_id, organization_id)
) WITH (fillfactor = 85);
CREATE INDEX search_names_by_name ON search_names (company_id, folded);
CREATE INDEX search_names_by_popularity
    ON search_names (company_id, popularity DESC, organization_id);

-- Which organizations have a word.
CREATE TABLE search_words (
    company_id      bigint NOT NULL,
    word            text   NOT NULL COLLATE "C",
    organization_id uuid   NOT NULL,
    PRIMARY KEY (company_id, word, organization_id)
);
CREATE INDEX search_words_by_organization ON search_words (company_id, organization_id);

-- The tenant's words, each once. `tokens` hold hashes of the tenant and a piece of the word: its
-- trigrams, for what stands inside a word, and its beginnings less a letter, for misspelt ones.
CREATE TABLE search_dictionary (
    company_id bigint   NOT NULL,
    word       text     NOT NULL COLLATE "C",
    tokens     bigint[] NOT NULL,
    PRIMARY KEY (company_id, word)
);
CREATE INDEX search_dictionary_by_token ON search_dictionary
 USING gin (tokens) WITH (fastupdate = off);
