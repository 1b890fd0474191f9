-- Queries of erasure.

-- name: erasure_user
-- The traces with a span or trace row that names one of these users.
SELECT DISTINCT trace_id FROM (
  SELECT trace_id FROM spans WHERE project = {project:String} AND user_id IN {users:Array(String)}
  UNION ALL
  SELECT trace_id FROM traces WHERE project = {project:String} AND user_id IN {users:Array(String)}
) ORDER BY trace_id

-- name: erasure_known
-- Which of these traces there are.
SELECT DISTINCT trace_id FROM (
  SELECT trace_id FROM spans WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
  UNION ALL
  SELECT trace_id FROM content WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
  UNION ALL
  SELECT trace_id FROM scores WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
) ORDER BY trace_id
