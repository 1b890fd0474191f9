-- Queries of storage sampling.

-- name: keeping_any
-- Whether anything was ever decided.
SELECT 1 FROM keeping WHERE project = {project:String} LIMIT 1

-- name: keeping_decided
-- What was decided about these traces.
SELECT trace_id, kept, probability, reason, toUnixTimestamp64Nano(decided_at) FROM keeping FINAL
WHERE project = {project:String} AND trace_id IN {ids:Array(String)}

-- name: keeping_spoken
-- Traces left to the draw since then of which a user has said something within the wait (ns) that may keep them, and when that was
-- decided. Whether it does, `scoring.keeping` says.
WITH said AS (
  SELECT trace_id, min(scored_at) AS at FROM scores
  WHERE project = {project:String} AND scored_at >= fromUnixTimestamp64Nano({since:Int64}) AND source = 'user'
    AND (scorer IN {named:Array(String)} OR passed = false OR (isNull(passed) AND ifNull(value, 0) != 0))
  GROUP BY trace_id)
SELECT trace_id, toUnixTimestamp64Nano(drawn.decided_at) FROM (
  SELECT trace_id, decided_at FROM keeping FINAL
  WHERE project = {project:String} AND trace_id IN (SELECT trace_id FROM said)
    AND reason = 'routine' AND decided_at >= fromUnixTimestamp64Nano({since:Int64})) AS drawn
INNER JOIN said USING (trace_id)
WHERE toUnixTimestamp64Nano(said.at) <= toUnixTimestamp64Nano(drawn.decided_at) + {wait:Int64}
