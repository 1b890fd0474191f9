-- Queries of reviewers' labels as scores.

-- name: human_scored
-- Which traces have a score of this source.
SELECT DISTINCT trace_id FROM scores WHERE project = {project:String} AND source = {source:String} ORDER BY trace_id

-- name: human_traces
-- When these traces began (ns) and the session they are of, those that there are.
SELECT trace_id, toUnixTimestamp64Nano(time), session_id FROM traces
WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
ORDER BY assembled_at DESC LIMIT 1 BY trace_id
