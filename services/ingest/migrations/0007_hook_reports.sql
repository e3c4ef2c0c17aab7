-- What Pipedrive said of our webhook when it was last asked, for all that ask us: asking costs
-- tokens. `hook_asked_at` is when somebody last set out to, `hook_shown` null where it was not there.
ALTER TABLE connections
    ADD COLUMN hook_asked_at timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN hook_shown    jsonb,
    ADD COLUMN hook_shown_at timestamptz,
    ADD COLUMN hook_problem  text;
