-- Queries of storage sampling.

-- name: keeping_any
-- Whether anything was ever decided.
SELECT 1 FROM keeping WHERE project = {project:String} LIMIT 1

-- name: keeping_decided
-- What was decided about these traces.
SELECT trace_id, kept, probability, reason FROM keeping FINAL
WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
