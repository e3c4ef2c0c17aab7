-- Whether it is certain that the state of the sync which was published last is "idle": before
-- another one is published it is no more.
ALTER TABLE connections ADD COLUMN told_idle boolean NOT NULL DEFAULT false;
