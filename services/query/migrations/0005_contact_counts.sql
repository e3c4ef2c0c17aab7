-- A user's organizations are listed by the number of their contacts, whoever owns those, as each
-- shows it; the numbers of a user name those with most of the user's own. Like the name, the
-- first is the organization's, told to each user's share: an index reaches into no other table.
ALTER TABLE user_organizations
    DROP COLUMN fewest,
    ADD COLUMN fewest bigint NOT NULL DEFAULT 0;

UPDATE user_organizations AS share
   SET fewest = -o.contact_count
  FROM organizations AS o
 WHERE o.company_id = share.company_id AND o.organization_id = share.organization_id;

-- Every part ascending, so that one row comparison continues the list.
CREATE INDEX user_organizations_in_order ON user_organizations
    (company_id, owner_id, fewest, sort_name, organization_id)
 WHERE contacts > 0 AND living;

CREATE INDEX user_organizations_by_own ON user_organizations
    (company_id, owner_id, contacts DESC, organization_id)
 WHERE contacts > 0 AND living;
