-- The version under which the state of the company's sync was told last. The next is higher, also
-- where another process with another clock tells it.
ALTER TABLE connections ADD COLUMN told_version bigint NOT NULL DEFAULT 0;
