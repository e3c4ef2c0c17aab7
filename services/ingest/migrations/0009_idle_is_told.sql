-- Every sync tells its end, so nobody asks any more whether the last one did.
ALTER TABLE connections DROP COLUMN told_idle;
