-- Organizations whose number of contacts or last activity changed along with many others', and was
-- not published yet, since then; and when the latest change of a company's came.
CREATE TABLE untold (
    company_id      bigint      NOT NULL,
    organization_id uuid        NOT NULL,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (company_id, organization_id)
);
CREATE INDEX untold_by_age ON untold (company_id, since);
CREATE TABLE untold_companies (
    company_id bigint      PRIMARY KEY,
    latest     timestamptz NOT NULL
);
