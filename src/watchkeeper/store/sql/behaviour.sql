-- Queries of what users did after an answer. Times are integer nanoseconds since 1970 UTC.

-- name: behaviour_sessions
-- Sessions with a trace put together since the last look, or whose last silence may have become long enough since.
SELECT session_id, max(assembled_at) AS seen FROM traces
WHERE project = {project:String} AND isNotNull(session_id) AND session_id != ''
  AND (assembled_at >= {after:UInt64}
    OR (time > fromUnixTimestamp64Nano({silent_after:Int64}) AND time <= fromUnixTimestamp64Nano({silent_until:Int64})))
GROUP BY session_id ORDER BY session_id LIMIT {limit:UInt32}

-- name: behaviour_turns
-- The answers of these sessions, oldest first: what was asked and said, and what is known against each.
SELECT session_id, trace_id, toUnixTimestamp64Nano(time) AS start, ifNull(duration_ms, 0) AS duration,
  substring(ifNull(input_text, ''), 1, 8000) AS input, substring(ifNull(output_text, ''), 1, 200) AS output,
  error_class, failed_checks
FROM traces FINAL
WHERE project = {project:String} AND session_id IN {sessions:Array(String)}
  AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
ORDER BY session_id, start, trace_id LIMIT {most:UInt32} BY session_id

-- name: behaviour_corrections
-- Corrections that came before their trace and can be compared with its answer now.
SELECT c.trace_id AS trace_id, t.output_text AS output, toUnixTimestamp64Nano(t.time) AS start, t.session_id AS session_id
FROM (SELECT trace_id FROM scores FINAL
      WHERE project = {project:String} AND scorer = 'correction' AND source = 'user' AND span_id = '' AND isNull(value)
        AND row_version >= {since:UInt64} GROUP BY trace_id) AS c
INNER JOIN (SELECT trace_id, output_text, time, session_id FROM traces FINAL
            WHERE project = {project:String} AND isNotNull(output_text)) AS t ON t.trace_id = c.trace_id
LIMIT 1000

-- name: session_before
-- The latest traces of a session that began before this one.
SELECT trace_id FROM traces FINAL
WHERE project = {project:String} AND session_id = {session:String} AND trace_id != {trace_id:String}
  AND time < fromUnixTimestamp64Nano({before:Int64})
  AND day >= toDate(fromUnixTimestamp64Nano({before:Int64})) - 2 AND day <= toDate(fromUnixTimestamp64Nano({before:Int64}))
ORDER BY time DESC, trace_id LIMIT {limit:UInt32}
