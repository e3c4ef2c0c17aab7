-- Lists whose next delta begins before `since`, and when: they were not read by the last sync, as
-- they were refused to us, or are not read every time. A sync keeps those that it began with.
ALTER TABLE connections ADD COLUMN behind jsonb NOT NULL DEFAULT '{}';
ALTER TABLE syncs ADD COLUMN behind jsonb;
