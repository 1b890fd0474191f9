-- Queries of the maps of texts: what people write, as sums. Times are integer nanoseconds since 1970 UTC, [since, until).

-- name: sketch_texts
-- The beginnings of one text field (input or output) by hour, at most `each` an hour by the hash of the trace id, with the
-- trace's dimensions in the order of roll_points.
SELECT toUnixTimestamp(toStartOfHour(time)) AS tick, trace_id, toUnixTimestamp64Nano(time) AS time_ns, prompt_version,
  [ifNull(agent_name, 'unknown'), ifNull(environment, 'unknown'),
    if(empty(models), 'unknown', models[1]), ifNull(prompt_name, 'unknown'), ifNull(toString(prompt_version), 'unknown'),
    ifNull(provider, 'unknown'), ifNull(region, 'unknown'), ifNull(release, 'unknown'), ifNull(scenario, 'unknown'),
    ifNull(service, 'unknown'), ifNull(variant, 'unknown')] AS dims,
  substring(ifNull(if({field:String} = 'input', input_text, output_text), ''), 1, 2000) AS text
FROM traces FINAL
WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
  AND day <= toDate(fromUnixTimestamp64Nano({until:Int64}))
  AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
  AND text != '' AND NOT time_suspect
ORDER BY tick, sipHash64(trace_id) LIMIT {each:UInt32} BY tick

-- name: sketches
-- The stored sums of one field, of one cohort or of all.
SELECT cohort, toUnixTimestamp(tick) AS tick, seconds, n, sums, version FROM sketches FINAL
WHERE project = {project:String} AND field = {field:String} AND seconds > 0
  AND tick >= fromUnixTimestamp64Nano({since:Int64}) AND tick < fromUnixTimestamp64Nano({until:Int64})
  AND ({every:UInt8} = 1 OR cohort = {cohort:String})
ORDER BY cohort, tick

-- name: sketch_reference
-- The newest map of a field: the baseline it was made from (start, length in seconds) and the moments of its features.
SELECT toUnixTimestamp(tick) AS since, n AS length, sums, version FROM sketches FINAL
WHERE project = {project:String} AND field = {field:String} AND seconds = 0
ORDER BY row_version DESC LIMIT 1
