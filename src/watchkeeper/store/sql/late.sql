-- Queries of the decisions that are taken again.

-- name: late_evidence
-- Traces with a score, written since the last look, that may be an event a policy waits for: something failed, or a user's
-- word or a signal that happened, or is named; and how far this look reached. Which it is, `scoring.evidence` decides.
SELECT trace_id, max(row_version) AS seen FROM scores
WHERE project = {project:String} AND row_version >= {after:UInt64}
  AND source IN ('user', 'signal', 'judge', 'classifier', 'external')
  AND (scorer IN {named:Array(String)} OR passed = false OR (source IN ('user', 'signal', 'external') AND isNull(passed) AND ifNull(value, 0) != 0))
GROUP BY trace_id ORDER BY seen, trace_id LIMIT {limit:UInt32}

-- name: late_rows
-- When these traces were put together (ns), the window of the ledger they are counted in, and how they were decided.
SELECT trace_id, assembled_at, inclusion_probability, policy FROM traces FINAL WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
