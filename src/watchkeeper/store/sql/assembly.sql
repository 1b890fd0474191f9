-- Queries of the assembly of traces.

-- name: assembly_earlier
-- Which of these traces have spans or logs that arrived before `before` (ns), that is, in an earlier process.
SELECT DISTINCT trace_id FROM spans
WHERE project = {project:String} AND received_at < fromUnixTimestamp64Nano({before:Int64}) AND trace_id IN {ids:Array(String)}
UNION DISTINCT
SELECT DISTINCT trace_id FROM logs
WHERE project = {project:String} AND received_at < fromUnixTimestamp64Nano({before:Int64}) AND trace_id IN {ids:Array(String)}
