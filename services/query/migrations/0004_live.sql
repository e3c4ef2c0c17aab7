-- What open streams are told, and who may no longer read.

-- What changed on whose pages, by name only: whoever is told reads how it is. A user below zero
-- stands for all of the company. Whoever has read under a snapshot goes on with the transactions
-- that it did not show, so transactions may commit in any order and none waits for another.
-- Unlogged on purpose: a crash, which may take back commits and give their numbers again, empties
-- both tables, so the epoch tells whoever goes on after it to begin anew.
CREATE UNLOGGED TABLE live_changes (
    company_id  bigint      NOT NULL,
    user_id     bigint      NOT NULL,
    transaction xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at          timestamptz NOT NULL DEFAULT now(),
    entry       text        NOT NULL
);

CREATE INDEX live_changes_in_order ON live_changes (transaction);
CREATE INDEX live_changes_of_user ON live_changes (company_id, user_id, transaction);

CREATE UNLOGGED TABLE live_epoch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch uuid    NOT NULL DEFAULT gen_random_uuid()
);

-- Pipedrive's users: registers, as contacts are.
CREATE TABLE users (
    company_id bigint   NOT NULL,
    user_id    bigint   NOT NULL,
    version    bigint   NOT NULL,
    rank       smallint NOT NULL,
    event_id   text     NOT NULL,
    deleted    boolean  NOT NULL,
    lag        jsonb,
    name       text,
    email      text,
    active     boolean,
    PRIMARY KEY (company_id, user_id)
);

CREATE INDEX users_inactive ON users (company_id, user_id) WHERE deleted OR NOT active;

-- Tokens that speak for nobody any more; an empty token_id stands for all that the user was given
-- until revoked_at. The log has them, too.
CREATE TABLE revocations (
    company_id bigint      NOT NULL,
    user_id    bigint      NOT NULL,
    token_id   text        NOT NULL,
    revoked_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (company_id, user_id, token_id)
);

-- Where users are signed in: seen by the API, in no log, and forgotten when the token expires.
CREATE TABLE sessions (
    company_id    bigint      NOT NULL,
    user_id       bigint      NOT NULL,
    token_id      text        NOT NULL,
    user_agent    text        NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    issued_at     timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (company_id, user_id, token_id)
);

CREATE INDEX sessions_by_end ON sessions (expires_at);
