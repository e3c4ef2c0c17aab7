-- The list of merges is read in its order: newest first, by when they were said.
CREATE INDEX verdicts_that_merged ON verdicts
    (company_id, coalesce((lag -> 'decision' ->> 0)::bigint, version) DESC, verdict_id)
 WHERE decision = 'same' AND right_records <> '{}';
