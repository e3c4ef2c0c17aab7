-- Organizations whose number of contacts or last activity changed along with many others', and was
-- not published yet. One row per company says since when there are some, and when the latest came.
CREATE TABLE untold (
    company_id      bigint NOT NULL,
    organization_id uuid   NOT NULL,
    PRIMARY KEY (company_id, organization_id)
);
CREATE TABLE untold_companies (
    company_id bigint      PRIMARY KEY,
    since      timestamptz NOT NULL,
    latest     timestamptz NOT NULL
);
