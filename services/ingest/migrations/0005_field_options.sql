-- What the options of Pipedrive's own fields are called: rows hold their ids.
CREATE TABLE field_options (
    company_id bigint NOT NULL,
    entity     text   NOT NULL,
    field      text   NOT NULL,
    id         bigint NOT NULL,
    name       text   NOT NULL,
    PRIMARY KEY (company_id, entity, field, id)
);
