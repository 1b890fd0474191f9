-- Queries of backfills. Times are integer nanoseconds since 1970 UTC, [since, until).

-- name: backfill_already
-- How many traces have a score of this scorer version, made with the trace or later.
SELECT uniqExact(trace_id) AS n FROM (
  SELECT trace_id FROM scores FINAL
  WHERE project = {project:String} AND scorer = {scorer:String} AND version = {version:String}
    AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
  UNION ALL
  SELECT trace_id FROM traces FINAL
  WHERE project = {project:String} AND time >= fromUnixTimestamp64Nano({since:Int64})
    AND time < fromUnixTimestamp64Nano({until:Int64})
    AND arrayExists((s, v) -> s = {scorer:String} AND v = {version:String}, checks.scorer, checks.version))
