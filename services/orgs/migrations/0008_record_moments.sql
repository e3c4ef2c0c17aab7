-- The newest moment of a record is the last in an index of the activities. As long as the record
-- held it, too, most activities wrote all ten indexes of that record anew, its trigrams among them.
-- The index first: whoever reads waits only for what is dropped.
CREATE INDEX records_in_organization ON records (company_id, organization_id)
 WHERE organization_id IS NOT NULL;
ALTER TABLE records DROP COLUMN last_moment;  -- and with it the index records_by_organization
ALTER INDEX records_in_organization RENAME TO records_by_organization;
