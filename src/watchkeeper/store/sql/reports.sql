-- What reports read. Times are integer nanoseconds since 1970 UTC, [since, until).

-- name: report_points
-- Mergeable sums of every series of all traffic in [before, since) and in [since, until), apart by scale and version, those with the
-- newest tick last. Of several tick lengths of a metric the finest covers everything by itself; adding them would count twice.
SELECT metric, edges, version, tick >= ${since_tick} AS current, toUnixTimestamp(max(tick)) AS newest,
  any(seconds) AS length, sum(n) AS size, sum(sw), sum(sw2), sum(swx), sum(swx2), sum(sw2x), sum(sw2x2)
FROM (
  SELECT metric, edges, version, tick, seconds, n, sw, sw2, swx, swx2, sw2x, sw2x2, min(seconds) OVER (PARTITION BY metric) AS finest
  FROM points FINAL
  WHERE project = {project:String} AND cohort = ''
    AND tick >= ${before_tick} AND tick < ${until_tick} AND n > 0
)
WHERE seconds = finest
GROUP BY metric, edges, version, current ORDER BY metric, newest
