-- Queries of the assembly of traces.

-- name: assembly_earlier
-- Which of these traces have spans or logs that arrived before `before` (ns), that is, in an earlier process.
SELECT DISTINCT trace_id FROM spans
WHERE project = {project:String} AND received_at < fromUnixTimestamp64Nano({before:Int64}) AND trace_id IN {ids:Array(String)}
UNION DISTINCT
SELECT DISTINCT trace_id FROM logs
WHERE project = {project:String} AND received_at < fromUnixTimestamp64Nano({before:Int64}) AND trace_id IN {ids:Array(String)}

-- name: assembly_before
-- Whether anything of the project arrived before `before` (ns): one row if so.
SELECT 1 FROM (
  SELECT received_at FROM spans
  WHERE project = {project:String} AND received_at < fromUnixTimestamp64Nano({before:Int64}) LIMIT 1
  UNION ALL
  SELECT received_at FROM logs
  WHERE project = {project:String} AND received_at < fromUnixTimestamp64Nano({before:Int64}) LIMIT 1
) LIMIT 1

-- name: assembly_known
-- Which of these traces have a row and began before `before` (ns), and of how many spans it is.
SELECT trace_id, argMax(spans, assembled_at) FROM traces
WHERE project = {project:String} AND trace_id IN {ids:Array(String)} AND time < fromUnixTimestamp64Nano({before:Int64})
GROUP BY trace_id
