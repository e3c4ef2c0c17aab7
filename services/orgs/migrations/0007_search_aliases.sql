-- An organization is found by the names of all its records. `alias` is one that it does not show.
-- Those of organizations that are here already are added when a worker starts.
ALTER TABLE search_names
  ADD COLUMN alias text,
 DROP CONSTRAINT search_names_pkey,
  ADD PRIMARY KEY (company_id, organization_id, folded);
