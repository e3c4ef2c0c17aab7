-- What a walk by offset has handed on, a row for each page: the ids and, beside each, the value of
-- the field by which the list is sorted. With the sync's mark it says where the walk goes on when
-- it was broken off, and at its end which known rows it did not show; then it is forgotten.
CREATE TABLE walked (
    sync_id uuid    NOT NULL REFERENCES syncs (id) ON DELETE CASCADE,
    list    text    NOT NULL,
    ids     bytea[] NOT NULL,
    sorts   bytea[] NOT NULL
);
CREATE INDEX walked_by_list ON walked (sync_id, list);
