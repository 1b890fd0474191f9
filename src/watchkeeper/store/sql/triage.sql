-- Queries of an incident's triage. Times are integer nanoseconds since 1970 UTC, [since, until).

-- name: triage_rows
-- Scored traces of a cohort, chosen by the hash of their id and so without a bias, with what may explain their score.
-- `positions` and `values` as in watch_worst; `names` are the scorers whose values come along.
WITH ${beside} AS beside
SELECT * FROM (
  SELECT trace_id, toUnixTimestamp64Nano(time) AS time_ns, time >= fromUnixTimestamp64Nano({onset:Int64}) AS after,
    multiIf({metric:String} = 'latency_ms', duration_ms, {metric:String} = 'ttft_ms', ttft_ms, {metric:String} = 'cost', cost,
      {metric:String} = 'output_tokens', toFloat64(output_tokens), {metric:String} = 'input_tokens', toFloat64(input_tokens),
      {metric:String} = 'error_rate', toFloat64(has({transport:Array(String)}, ifNull(error_class, ''))),
      {metric:String} = 'tool_error_rate', if(tool_calls > 0, toFloat64(ifNull(error_class, '') = 'tool_error'), NULL),
      startsWith({metric:String}, 'error_class:'), toFloat64(ifNull(error_class, '') = substring({metric:String}, 13)),
      mapContains(scores, {metric:String}), toNullable(scores[{metric:String}]), NULL) AS value,
    1 / if(keep_probability > 0, keep_probability, 1)
      / if({metric:String} IN (SELECT DISTINCT scorer FROM scores WHERE project = {project:String} AND source = 'judge')
             AND mapContains(scores, {metric:String}) AND inclusion_probability > 0,
           inclusion_probability, 1)
      / if(empty(beside.1), 1., transform(concat({metric:String}, ' ', trace_id), beside.1, beside.2, 1.)) AS weight,
    [ifNull(agent_name, 'unknown'), ifNull(environment, 'unknown'),
      if(empty(models), 'unknown', models[1]), ifNull(prompt_name, 'unknown'), ifNull(prompt_version, 'unknown'),
      ifNull(provider, 'unknown'), ifNull(region, 'unknown'), ifNull(release, 'unknown'), ifNull(scenario, 'unknown'),
      ifNull(service, 'unknown'), ifNull(variant, 'unknown')] AS dims,
    lengthUTF8(input_text) AS input_characters, lengthUTF8(output_text) AS output_characters,
    input_tokens, output_tokens, llm_calls, tool_calls, spans AS steps, error_class, finish_reason,
    substringUTF8(ifNull(input_text, ''), 1, 400) AS input,
    arrayMap(s -> if(mapContains(scores, s), toNullable(scores[s]), NULL), {names:Array(String)}) AS scored
  FROM traces FINAL
  WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
    AND day <= toDate(fromUnixTimestamp64Nano({until:Int64}))
    AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
    AND (time < fromUnixTimestamp64Nano({base_until:Int64}) OR time >= fromUnixTimestamp64Nano({onset:Int64}))
    AND NOT time_suspect AND arrayAll((d, v) -> dims[d] = v, {positions:Array(UInt8)}, {values:Array(String)})
) WHERE isNotNull(value) AND isFinite(assumeNotNull(value))
ORDER BY cityHash64(trace_id), trace_id LIMIT {limit:UInt32} BY after

-- name: triage_steps
-- What the steps of the given traces were: tools, failed tools, retrievals, and how the model was asked.
SELECT trace_id, groupUniqArrayIf(20)(assumeNotNull(tool_name), kind = 'tool' AND isNotNull(tool_name)) AS tools,
  countIf(kind = 'tool') AS tool_runs, countIf(kind = 'tool' AND status = 'error') AS tool_failures,
  countIf(kind IN ('retrieval', 'rerank')) AS retrievals,
  anyIf(temperature, kind = 'llm') AS temperature, anyIf(max_tokens, kind = 'llm') AS max_tokens
FROM spans FINAL
WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
GROUP BY trace_id
