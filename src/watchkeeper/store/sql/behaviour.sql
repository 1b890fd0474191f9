-- Queries of what users did after an answer. Times are integer nanoseconds since 1970 UTC.

-- name: behaviour_due
-- What can change a score, in the order in which it came about: a trace put together (its neighbours in the session change with
-- it), somebody's opinion of an answer that may have been the last, a silence that has become long enough. `key` tells one from
-- another. Scores written into a trace row make it newer by nanoseconds, and change nothing here: its time counts in microseconds.
-- A trace that was not kept is still what came next.
WITH unkept AS (
  SELECT trace_id AS trace, session AS hash, toUnixTimestamp64Nano(decided_at) AS at
  FROM keeping
  WHERE project = {project:String} AND kept = 0 AND session != 0 AND decided_at >= fromUnixTimestamp64Nano({at:Int64})),
opinions AS (
  SELECT trace_id AS trace, toUnixTimestamp64Nano(max(stored_at)) AS at, cityHash64(trace_id, at) AS key
  FROM scores
  WHERE project = {project:String} AND stored_at >= fromUnixTimestamp64Nano({at:Int64}) AND source IN ('user', 'judge')
    AND isNotNull(passed) AND time > fromUnixTimestamp64Nano({since:Int64}) AND time <= fromUnixTimestamp64Nano({silent_until:Int64})
  GROUP BY trace_id)
SELECT DISTINCT at, key, session, trace, beside FROM (
  SELECT toInt64(intDiv(assembled_at, 1000)) * 1000 AS at, cityHash64(trace_id, session_id, at) AS key,
    assumeNotNull(session_id) AS session, trace_id AS trace, true AS beside
  FROM traces
  WHERE project = {project:String} AND assembled_at >= {at:Int64} AND isNotNull(session_id) AND session_id != ''
  UNION ALL
  SELECT unkept.at, cityHash64(unkept.trace, unkept.at), sessions.session, unkept.trace, true
  FROM unkept INNER JOIN (
    SELECT DISTINCT assumeNotNull(session_id) AS session, xxHash64(session) AS hash
    FROM traces
    WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) AND isNotNull(session_id)
      AND hash IN (SELECT hash FROM unkept)) AS sessions ON sessions.hash = unkept.hash
  UNION ALL
  SELECT opinions.at, opinions.key, sessions.session, opinions.trace, false
  FROM opinions INNER JOIN (
    SELECT trace_id AS trace, ifNull(argMax(tuple(session_id), assembled_at).1, '') AS session
    FROM traces
    WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
      AND trace_id IN (SELECT trace FROM opinions)
    GROUP BY trace_id HAVING session != '') AS sessions ON sessions.trace = opinions.trace
  UNION ALL
  SELECT max(ended) + {timeout:Int64} AS at, cityHash64(session, at) AS key, session, argMax(trace_id, ended), false
  FROM (SELECT assumeNotNull(session_id) AS session, trace_id,
          toUnixTimestamp64Nano(time) + toInt64(ifNull(duration_ms, 0) * 1e6) AS ended
        FROM traces
        WHERE project = {project:String} AND time > fromUnixTimestamp64Nano({began:Int64})
          AND isNotNull(session_id) AND session_id != '' AND ended > {silent_after:Int64} AND NOT time_suspect)
  GROUP BY session HAVING max(ended) <= {silent_until:Int64}
)
WHERE (at, key) > ({at:Int64}, {key:UInt64})
ORDER BY at, key LIMIT {limit:UInt32}

-- name: behaviour_order
-- The answers of these sessions, the latest first, with the probability that each was kept; 0 for one that was not. One whose time
-- nobody can believe has no place among them.
WITH arrayMap(s -> xxHash64(s), {sessions:Array(String)}) AS hashes
SELECT session, trace_id, start, ended, odds FROM (
  SELECT trace_id, {sessions:Array(String)}[indexOf(hashes, keeping.session)] AS session, toUnixTimestamp64Nano(time) AS start,
    false AS suspect, toUnixTimestamp64Nano(keeping.ended) AS ended, 0. AS odds
  FROM keeping FINAL
  WHERE project = {project:String} AND kept = 0 AND has(hashes, keeping.session) AND time >= fromUnixTimestamp64Nano({since:Int64})
  UNION ALL
  SELECT trace_id, ifNull(argMax(tuple(session_id), assembled_at).1, '') AS session,
    argMax(toUnixTimestamp64Nano(time), assembled_at) AS start, argMax(time_suspect, assembled_at) AS suspect,
    start + toInt64(argMax(ifNull(duration_ms, 0), assembled_at) * 1e6) AS ended, argMax(keep_probability, assembled_at) AS odds
  FROM traces
  WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) AND trace_id IN (
    SELECT trace_id FROM traces WHERE project = {project:String} AND session_id IN {sessions:Array(String)}
      AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})))
  GROUP BY trace_id)
WHERE session IN {sessions:Array(String)} AND NOT suspect
ORDER BY session, start DESC, trace_id DESC LIMIT {most:UInt32} BY session

-- name: behaviour_turns
-- What was asked and said in these traces, all of a span of time, and what the checks say against each.
SELECT trace_id, substring(ifNull(input_text, ''), 1, 8000) AS input, substring(ifNull(output_text, ''), 1, 200) AS output,
  error_class, failed_checks
FROM traces
WHERE project = {project:String} AND trace_id IN {ids:Array(String)} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
  AND time >= fromUnixTimestamp64Nano({first:Int64}) AND time <= fromUnixTimestamp64Nano({last:Int64})
ORDER BY assembled_at DESC LIMIT 1 BY trace_id

-- name: behaviour_scores
-- The behaviour scores and opinions these traces have, the latest first.
SELECT trace_id, scorer, version, source, value, passed, reason, inclusion_probability
FROM scores
WHERE project = {project:String} AND trace_id IN {ids:Array(String)} AND source IN ('signal', 'user', 'judge')
ORDER BY row_version DESC LIMIT 1 BY trace_id, span_id, scorer, version, judge_model, author

-- name: behaviour_corrections
-- Corrections that came before their trace and can be compared with its answer now.
SELECT trace_id, output, start, session_id FROM (
  SELECT trace_id, output_text AS output, toUnixTimestamp64Nano(time) AS start, session_id
  FROM traces
  WHERE project = {project:String} AND trace_id IN (
    SELECT trace_id FROM scores
    WHERE project = {project:String} AND scorer = 'correction' AND source = 'user' AND span_id = ''
      AND stored_at >= fromUnixTimestamp64Nano({since:Int64})
    GROUP BY trace_id, version, judge_model, author HAVING isNull(argMax(tuple(value), row_version).1))
  ORDER BY assembled_at DESC LIMIT 1 BY trace_id)
WHERE isNotNull(output) LIMIT 1000

-- name: session_before
-- The latest traces of a session that began before this one.
SELECT trace_id FROM traces FINAL
WHERE project = {project:String} AND session_id = {session:String} AND trace_id != {trace_id:String}
  AND time < fromUnixTimestamp64Nano({before:Int64}) AND NOT time_suspect
  AND day >= toDate(fromUnixTimestamp64Nano({before:Int64})) - 2 AND day <= toDate(fromUnixTimestamp64Nano({before:Int64}))
ORDER BY time DESC, trace_id LIMIT {limit:UInt32}
