-- Queries of the gate. Times are integer nanoseconds since 1970 UTC, [since, until).

-- name: gate_window
-- A window of production as one row a scorer, version and session: Σw, Σwx, Σwx², Σw² with w one over the inclusion
-- probability, and traces. A scorer that looks at spans counts with its worst span, as it does in the gate.
SELECT scorer, version, session, sum(1 / p) AS w, sum(worst / p) AS wx, sum(worst * worst / p) AS wxx, sum(1 / (p * p)) AS ww, count() AS n
FROM (
  SELECT scorer, version, trace_id, any(who) AS session, min(x) AS worst, any(probability * keep) AS p
  FROM (
    SELECT scorer, version, trace_id, if(ifNull(session_id, '') = '', trace_id, ifNull(session_id, '')) AS who,
      assumeNotNull(ifNull(value, toFloat64(passed))) AS x, inclusion_probability AS probability
    FROM scores FINAL
    WHERE project = {project:String} AND source IN ('judge', 'classifier', 'check')
      ${range}
      AND (value IS NOT NULL OR passed IS NOT NULL) AND inclusion_probability > 0
    UNION ALL
    SELECT c.1 AS scorer, c.2 AS version, trace_id, if(ifNull(session_id, '') = '', trace_id, ifNull(session_id, '')) AS who,
      assumeNotNull(ifNull(c.3, toFloat64(c.4))) AS x, 1.0 AS probability
    FROM traces FINAL
    ARRAY JOIN arrayZip(checks.scorer, checks.version, checks.value, checks.passed) AS c
    WHERE project = {project:String}
      ${range}
      AND (c.3 IS NOT NULL OR c.4 IS NOT NULL)
  ) AS scored
  INNER JOIN (
    SELECT trace_id, if(keep_probability > 0, keep_probability, 1) AS keep FROM traces FINAL
    WHERE project = {project:String} AND (empty({release:String}) OR release = {release:String})
      AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
  ) AS kept USING (trace_id)
  GROUP BY scorer, version, trace_id
)
GROUP BY scorer, version, session
