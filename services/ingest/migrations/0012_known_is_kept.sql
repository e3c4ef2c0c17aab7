-- Not all that the sync knows can be lost, as 0002 says: by its ids it finds what Pipedrive has no
-- more. A lost table is heard anew from the log, whose offsets stand beside it.
COMMENT ON TABLE known IS
    'Do not delete rows: what Pipedrive has no more is found by them. To have all rows told again '
    'set digest to null. Where they were lost, empty consumer_offsets while no sync role runs.';
