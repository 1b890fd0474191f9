-- Queries of the training of classifiers. Times are integer nanoseconds since 1970 UTC.

-- name: train_texts
-- What was asked and answered in these traces.
SELECT trace_id, ifNull(session_id, '') AS session_id, ifNull(input_text, '') AS input, ifNull(output_text, '') AS output
FROM traces FINAL WHERE project = {project:String} AND trace_id IN {ids:Array(String)} AND ifNull(output_text, '') != ''

-- name: train_judged
-- A judge's latest verdict on each trace, the newest traces first; `good` is whether it passed, or reached the floor.
SELECT trace_id, argMax(if(isNotNull(passed), toUInt8(passed), toUInt8(value >= {floor:Float64})), scored_at) AS good
FROM scores FINAL
WHERE project = {project:String} AND scorer = {scorer:String} AND source = 'judge' AND span_id = ''
  AND time >= fromUnixTimestamp64Nano({since:Int64}) AND (isNotNull(passed) OR (isNotNull(value) AND {floored:Bool}))
GROUP BY trace_id ORDER BY max(time) DESC, trace_id LIMIT {limit:UInt32}

-- name: train_drawn
-- Which of these traces a judge has judged, and how: its side of a comparison.
SELECT trace_id, argMax(if(isNotNull(passed), toUInt8(passed), toUInt8(value >= {floor:Float64})), scored_at) AS good
FROM scores FINAL
WHERE project = {project:String} AND scorer = {scorer:String} AND source = 'judge' AND span_id = ''
  AND trace_id IN {ids:Array(String)} AND (isNotNull(passed) OR (isNotNull(value) AND {floored:Bool}))
GROUP BY trace_id
