-- Digest of the request that it is made for; null where it is made for any that needs it, and in
-- rows of an older program.
ALTER TABLE undertakings ADD COLUMN asked bytea;
