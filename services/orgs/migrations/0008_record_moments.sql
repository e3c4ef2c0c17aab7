-- The newest moment of a record is the last in an index of the activities. As long as the record
-- held it, too, most activities wrote all ten indexes of that record anew, its trigrams among them.
ALTER TABLE records DROP COLUMN last_moment;
CREATE INDEX records_by_organization ON records (company_id, organization_id)
 WHERE organization_id IS NOT NULL;
