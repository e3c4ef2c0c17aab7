-- An id that leads to an organization has a row as one has that was one: `deleted`, with where it
-- leads. Those of records that never stood alone get theirs here, and are told. Of records that are
-- gone, and that their name alone leads, they follow once something of that name changes.
WITH led AS (
    INSERT INTO organizations (company_id, organization_id, contact_count, deleted, merged_into,
                               published)
    SELECT company_id, record_id, 0, true, organization_id,
           (extract(epoch FROM now()) * 1000000)::bigint
      FROM records
     WHERE organization_id <> record_id
        ON CONFLICT DO NOTHING
    RETURNING company_id, organization_id, merged_into, published
)
INSERT INTO outbox (topic, key, payload)
SELECT 'orgs.organizations', convert_to(company_id || ':' || organization_id, 'UTF8'),
       convert_to(jsonb_build_object('version', published, 'company_id', company_id,
                                     'organization_id', organization_id, 'deleted', true,
                                     'merged_into', merged_into)::text, 'UTF8')
  FROM led;
