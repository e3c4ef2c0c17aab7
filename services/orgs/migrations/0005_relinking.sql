-- The contacts of a large organization follow it by parts. These are the records that some contacts
-- have not followed yet.
CREATE TABLE relinking (
    company_id       bigint NOT NULL,
    pipedrive_org_id bigint NOT NULL,
    PRIMARY KEY (company_id, pipedrive_org_id)
);

-- Those that are not where their record belongs stand together, before and behind those that are.
DROP INDEX contacts_by_pipedrive_org;
CREATE INDEX contacts_by_pipedrive_org ON contacts
    (company_id, org_id, coalesce(organization_id, '00000000-0000-0000-0000-000000000000'::uuid))
 WHERE org_id IS NOT NULL AND NOT deleted;
