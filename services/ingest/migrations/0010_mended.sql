-- When our webhook was made anew last, and as of which of these moments a sync began: a sync that
-- began before the last one may have passed what the webhook before it had lost.
ALTER TABLE connections ADD COLUMN mended_at timestamptz;
ALTER TABLE syncs ADD COLUMN mended_at timestamptz;
