-- A company whose data we keep in step.
CREATE TABLE connections (
    company_id      bigint PRIMARY KEY,

    -- Where the next delta begins: when the last complete sync did. `behind` are the lists whose
    -- next one begins before it, and when: they were refused to the last sync, or are not read
    -- every time.
    since           timestamptz,
    behind          jsonb       NOT NULL DEFAULT '{}',
    incremental_due timestamptz,
    full_due        timestamptz,

    -- The version under which the state of the company's sync was told last. The next is higher,
    -- also where another process with another clock tells it.
    told_version    bigint      NOT NULL DEFAULT 0,

    -- Our webhook. The digest tells whether it still has our credentials; it was made anew last
    -- at `mended_at`, and a sync that began before may have passed what the one before it lost.
    hook_id         bigint,
    hook_url        text,
    hook_digest     bytea,
    hook_checked_at timestamptz NOT NULL DEFAULT '-infinity',
    mended_at       timestamptz,

    -- What Pipedrive said of it when it was last asked, for all that ask us: asking costs tokens.
    -- `hook_asked_at` is when somebody last set out to, `hook_shown` null where it was not there.
    hook_asked_at   timestamptz NOT NULL DEFAULT '-infinity',
    hook_shown      jsonb,
    hook_shown_at   timestamptz,
    hook_problem    text,

    last_event_at   timestamptz,
    last_lag_ms     bigint
);
