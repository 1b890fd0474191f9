-- Queries of the web pages. Times are integer nanoseconds since 1970 UTC, [since, until). A cohort is given one
-- parameter a dimension, '' for any value. `before` is the start of the range compared with: [before, since).

-- name: page_traffic
-- Volume, errors, latency, time to first token, cost and tokens, looked up once for all that is shown of them, with a `part` for each:
-- the range and the one before it as a whole (`current`), the range by buckets of `bucket` seconds (`start`) and by scenario. `n` are the
-- traces stored; everything else weighs them by 1 / the probability with which they were kept (`_w` sums of the weights, `_w2` of their
-- squares, `_noise` the variance that the drawing gives a total). Quantiles come with the order statistics that bound them (Woodruff:
-- shares q ± 1.96·√(q(1−q)/n), n the effective number). What is wrong with the traces comes as maps of (family, name) to the number of
-- them, its squares, their first and their last.
WITH groupArray(duration_ms) AS d_raw, groupArray(ttft_ms) AS t_raw, arraySort(d_raw) AS d, arraySort(t_raw) AS t,
  sumIf(keep, isNotNull(duration_ms)) AS d_w, sumIf(keep * keep, isNotNull(duration_ms)) AS d_w2,
  sumIf(keep, isNotNull(ttft_ms)) AS t_w, sumIf(keep * keep, isNotNull(ttft_ms)) AS t_w2,
  -- The weights in the order of the values, added up; nothing where all are 1, because sorting twice costs twice.
  arrayCumSum(arraySort((w, x) -> x, if(d_w2 = timed, [], groupArrayIf(keep, isNotNull(duration_ms))), if(d_w2 = timed, [], d_raw))) AS d_sums,
  arrayCumSum(arraySort((w, x) -> x, if(t_w2 = ttft_n, [], groupArrayIf(keep, isNotNull(ttft_ms))), if(t_w2 = ttft_n, [], t_raw))) AS t_sums,
  1.96 * sqrt(0.0475 / greatest(d_w * d_w / d_w2, 1)) AS h95, 1.96 * sqrt(0.25 / greatest(t_w * t_w / t_w2, 1)) AS h50,
  arrayMap(share -> if(empty(d_sums), share * timed, arrayCount(w -> w < share * d_sums[-1], d_sums) + 0.5), [0.95 - h95, 0.95, 0.95 + h95]) AS d_at,
  arrayMap(share -> if(empty(t_sums), share * ttft_n, arrayCount(w -> w < share * t_sums[-1], t_sums) + 0.5), [0.5 - h50, 0.5, 0.5 + h50]) AS t_at
SELECT multiIf(grouping(start) = 0, 'bucket', grouping(name) = 0, 'scenario', 'whole') AS part, current, start, name,
  count() AS n, sum(keep) AS n_w, sum(keep * keep) AS n_w2, n_w2 - n_w AS n_noise, sumIf(keep, failed) AS bad, sumIf(keep * keep, failed) AS bad_w2,
  length(d_raw) AS timed, length(t_raw) AS ttft_n,
  d[toUInt32(ceil(d_at[2]))] AS p95, d[toUInt32(greatest(1, floor(d_at[1])))] AS p95_low, d[toUInt32(least(toFloat64(timed), ceil(d_at[3])))] AS p95_high,
  t[toUInt32(ceil(t_at[2]))] AS ttft, t[toUInt32(greatest(1, floor(t_at[1])))] AS ttft_low, t[toUInt32(least(toFloat64(ttft_n), ceil(t_at[3])))] AS ttft_high,
  count(cost) AS cost_n, sum(keep * cost) AS cost_sum, sumIf(keep, isNotNull(cost)) AS cost_w, sumIf(keep * keep, isNotNull(cost)) AS cost_w2,
  sum(keep * cost * cost) AS cost_x2, sum(keep * keep * cost) AS cost_w2x, sum(keep * keep * cost * cost) AS cost_w2x2,
  cost_w2x2 - cost_x2 AS cost_noise, cost_sum / nullIf(cost_w, 0) AS cost_mean,
  sum(keep * input_tokens) AS tokens_in, count(input_tokens) AS in_n, sum(keep * (keep - 1) * input_tokens * input_tokens) AS in_noise,
  sum(keep * output_tokens) AS tokens_out, count(output_tokens) AS out_n, sum(keep * (keep - 1) * output_tokens * output_tokens) AS out_noise,
  toUnixTimestamp64Nano(max(time)) AS latest,
  sumMap(wrong, arrayMap(_ -> keep, wrong)) AS wrong_n, sumMap(wrong, arrayMap(_ -> keep * keep, wrong)) AS wrong_w2,
  minMap(wrong, moments) AS wrong_first, maxMap(wrong, moments) AS wrong_last
FROM (
  SELECT time, duration_ms, ttft_ms, cost, toFloat64(input_tokens) AS input_tokens, toFloat64(output_tokens) AS output_tokens, ifNull(scenario, '') AS name,
    ${keep} AS keep, time >= fromUnixTimestamp64Nano({since:Int64}) AS current,
    if(current, toUnixTimestamp64Nano(toDateTime64(toStartOfInterval(time, toIntervalSecond({bucket:UInt32})), 9, 'UTC')), 0) AS start,
    ${erred} AS failed, ${wrong} AS wrong, arrayMap(_ -> toUnixTimestamp64Nano(time), wrong) AS moments
  FROM traces FINAL
  WHERE project = {project:String}
    AND day >= toDate(fromUnixTimestamp64Nano({before:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
    AND time >= fromUnixTimestamp64Nano({before:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
    ${cohort}
)
GROUP BY GROUPING SETS ((current), (current, start), (current, name)) HAVING current OR part = 'whole' ORDER BY part, start, name

-- name: page_points
-- Mergeable sums of every series of one cohort per bucket, from the rolled points; start 0 is everything in
-- [before, since), the baseline.
SELECT metric, seconds AS tick_seconds, any(edges) AS axis,
  if(tick < ${since_tick}, 0, toUnixTimestamp(toStartOfInterval(tick, toIntervalSecond({bucket:UInt32})))) * 1000000000 AS start,
  sum(n) AS n, sum(sw) AS sw, sum(sw2) AS sw2, sum(swx) AS swx, sum(swx2) AS swx2, sum(sw2x) AS sw2x, sum(sw2x2) AS sw2x2
FROM points FINAL
WHERE project = {project:String} AND cohort = {cohort:String}
  AND (empty({metric:String}) OR metric = {metric:String})
  AND (NOT {scorers:Bool} OR NOT (metric IN ('traces', 'latency_ms', 'ttft_ms', 'cost', 'input_tokens', 'output_tokens', 'error_rate', 'tool_error_rate') OR startsWith(metric, 'error_class:')))
  AND tick >= ${before_tick} AND tick < ${until_tick} AND points.n > 0
GROUP BY metric, seconds, start QUALIFY n > 0 AND seconds = ${finest_tick} ORDER BY metric, start

-- name: page_points_each
-- The same sums of each of the ranges [starts[i], ends[i]) as a whole, `place` its number from 1; [since, until) holds all of them.
SELECT place, metric, any(seconds) AS tick_seconds, any(edges) AS axis,
  sum(n) AS n, sum(sw) AS sw, sum(sw2) AS sw2, sum(swx) AS swx, sum(swx2) AS swx2, sum(sw2x) AS sw2x, sum(sw2x2) AS sw2x2
FROM (
  SELECT place, metric, seconds, edges, n, sw, sw2, swx, swx2, sw2x, sw2x2, min(seconds) OVER (PARTITION BY place) AS finest
  FROM points FINAL
  ARRAY JOIN arrayFilter((_, a, b) -> toUnixTimestamp(tick) * 1000000000 >= a AND toUnixTimestamp(tick) * 1000000000 < b,
    arrayEnumerate({starts:Array(Int64)}), {starts:Array(Int64)}, {ends:Array(Int64)}) AS place
  WHERE project = {project:String} AND cohort = {cohort:String}
    AND tick >= ${since_tick} AND tick < ${until_tick} AND n > 0
)
WHERE seconds = finest
GROUP BY place, metric HAVING n > 0 ORDER BY place, metric

-- name: page_cohort_points
-- The same for every cohort of one dimension: those whose canonical text is `dimension=…` and nothing else.
SELECT cohort, seconds AS tick_seconds, any(edges) AS axis,
  if(tick < ${since_tick}, 0, toUnixTimestamp(toStartOfInterval(tick, toIntervalSecond({bucket:UInt32})))) * 1000000000 AS start,
  sum(n) AS n, sum(sw) AS sw, sum(sw2) AS sw2, sum(swx) AS swx, sum(swx2) AS swx2, sum(sw2x) AS sw2x, sum(sw2x2) AS sw2x2
FROM points FINAL
WHERE project = {project:String} AND metric = {metric:String}
  AND startsWith(cohort, concat({dimension:String}, '=')) AND position(cohort, ',') = 0
  AND tick >= ${before_tick} AND tick < ${until_tick} AND points.n > 0
GROUP BY cohort, seconds, start QUALIFY n > 0 AND seconds = ${finest_tick} ORDER BY cohort, start

-- name: page_scores
-- The same sums of every scorer from the traces themselves, for cohorts that are not rolled. Only judges see
-- a sample and weigh 1 / the trace's inclusion probability, and what users did next where the turns beside the answer were kept;
-- checks and users' words are known of all traffic that was kept. People's labels are in no series.
WITH ${beside} AS beside
SELECT metric,
  if(time < fromUnixTimestamp64Nano({since:Int64}), 0, toUnixTimestamp(toStartOfInterval(time, toIntervalSecond({bucket:UInt32})))) * 1000000000 AS start,
  count() AS n, sum(w) AS sw, sum(w * w) AS sw2, sum(w * x) AS swx, sum(w * x * x) AS swx2, sum(w * w * x) AS sw2x, sum(w * w * x * x) AS sw2x2
FROM (
  SELECT time, tupleElement(one, 1) AS metric, tupleElement(one, 2) AS x,
    if(metric NOT IN (SELECT DISTINCT scorer FROM scores WHERE project = {project:String} AND source = 'judge')
      OR inclusion_probability <= 0, 1., 1. / inclusion_probability)
      / if(empty(beside.1), 1., transform(concat(metric, ' ', trace_id), beside.1, beside.2, 1.)) * ${keep} AS w
  FROM traces FINAL ARRAY JOIN arrayZip(mapKeys(scores), mapValues(scores)) AS one
  WHERE project = {project:String}
    AND day >= toDate(fromUnixTimestamp64Nano({before:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
    AND time >= fromUnixTimestamp64Nano({before:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
    AND (empty({metric:String}) OR metric = {metric:String})
    AND metric NOT IN (SELECT DISTINCT scorer FROM scores WHERE project = {project:String} AND source = 'human')
    ${cohort}
)
GROUP BY metric, start ORDER BY metric, start

-- name: page_failures
-- Failed checks and error classes in the range (`n`) and in the one before (`n_before`), each trace by the weight it was kept with, with
-- the squares of the weights and a trace to look at; the family '' is all traces, of which `stored` are there.
SELECT family, name, sumIf(keep, time >= fromUnixTimestamp64Nano({since:Int64})) AS n,
  sumIf(keep, time < fromUnixTimestamp64Nano({since:Int64})) AS n_before,
  sumIf(keep * keep, time >= fromUnixTimestamp64Nano({since:Int64})) AS w2,
  sumIf(keep * keep, time < fromUnixTimestamp64Nano({since:Int64})) AS w2_before,
  countIf(time >= fromUnixTimestamp64Nano({since:Int64})) AS stored, countIf(time < fromUnixTimestamp64Nano({since:Int64})) AS stored_before,
  toUnixTimestamp64Nano(min(time)) AS first_seen, toUnixTimestamp64Nano(max(time)) AS last_seen,
  argMax(trace_id, time) AS example
FROM (
  SELECT time, trace_id, ${keep} AS keep,
    arrayJoin(arrayPushFront(${wrong}, ('', ''))) AS one,
    tupleElement(one, 1) AS family, tupleElement(one, 2) AS name
  FROM traces FINAL
  WHERE project = {project:String}
    AND day >= toDate(fromUnixTimestamp64Nano({before:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
    AND time >= fromUnixTimestamp64Nano({before:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
    ${cohort}
)
GROUP BY family, name ORDER BY family = '' DESC, n DESC, name LIMIT 201

-- name: page_values
-- The commonest values of one dimension in the range, for the cohort menu.
SELECT value, count() AS n FROM (
  SELECT arrayJoin(if({dimension:String} = 'model', arrayMap(m -> toString(m), models),
    [toString(ifNull(multiIf({dimension:String} = 'scenario', scenario, {dimension:String} = 'prompt_name', prompt_name,
      {dimension:String} = 'prompt_version', prompt_version, {dimension:String} = 'provider', provider,
      {dimension:String} = 'variant', variant, {dimension:String} = 'release', release,
      {dimension:String} = 'service', service, {dimension:String} = 'environment', environment,
      {dimension:String} = 'region', region, {dimension:String} = 'agent_name', agent_name, NULL), ''))])) AS value
  FROM traces FINAL
  WHERE project = {project:String}
    ${range}
)
WHERE notEmpty(value) GROUP BY value ORDER BY n DESC, value LIMIT 50

-- name: page_attributes
-- The names of attributes among the newest spans of the range, the commonest first, for the filter menu.
SELECT key, count() AS n FROM (
  SELECT arrayJoin(attributes.keys) AS key FROM (
    SELECT attributes.keys FROM spans WHERE project = {project:String}
      ${range}
    LIMIT 20000
  )
)
GROUP BY key ORDER BY n DESC, key LIMIT 300

-- name: page_last_trace
-- The latest trace of the project as one row, none where it has no trace. Read in the order of time, it costs the same however many
-- there are.
SELECT 1 AS n, toUnixTimestamp64Nano(time) AS last_seen
FROM traces WHERE project = {project:String} ORDER BY time DESC LIMIT 1

-- name: page_trace_stamp
-- What is stored of one trace, without reading it: another answer once anything arrived, was written again or went.
SELECT count(), max(version), (SELECT (count(), toUnixTimestamp64Nano(max(received_at))) FROM logs
  WHERE project = {project:String} AND trace_id = {trace:String})
FROM content WHERE project = {project:String} AND trace_id = {trace:String}

-- name: page_session
-- The traces of one session in order, for the previous and next turn.
SELECT trace_id, toUnixTimestamp64Nano(time) AS start, substring(ifNull(input_text, root_name), 1, 160) AS words
FROM traces FINAL WHERE project = {project:String} AND session_id = {session:String} ${of_session}
ORDER BY time, trace_id LIMIT 500

-- name: page_turns
-- The turns of one session in order, with what was said and what the scorers say.
SELECT trace_id, toUnixTimestamp64Nano(time) AS start,
  toUnixTimestamp64Nano(time) + toInt64(ifNull(duration_ms, 0) * 1000000) AS ended, duration_ms, root_name,
  substringUTF8(ifNull(input_text, ''), 1, 20000) AS input, substringUTF8(ifNull(output_text, ''), 1, 20000) AS output,
  error_class, errors, cost, input_tokens, output_tokens, prompt_version, user_id, scores, failed_checks
FROM traces FINAL WHERE project = {project:String} AND session_id = {session:String} ${of_session}
ORDER BY time, trace_id LIMIT {most:UInt32}

-- name: page_groups
-- Sessions or users of the range, the latest first: turns, time, cost, errors, failed checks and the lowest value of
-- one scorer, or with `sign` = -1 the highest. `before_key` with `before_ns` pages. Those of the page are found first, by key and time alone: there may be as
-- many sessions as traces.
WITH turn AS (
  SELECT if({by:String} = 'user', user_id, session_id) AS key, trace_id, session_id, user_id, time, duration_ms, cost, errors,
    error_class, failed_checks, scores
  FROM traces FINAL
  WHERE project = {project:String} AND notEmpty(ifNull(key, ''))
    AND (empty({user:String}) OR user_id = {user:String})
    ${range}
    ${cohort}
)
SELECT key, count() AS turns, uniqExact(session_id) AS sessions, any(user_id) AS user_id,
  min(toUnixTimestamp64Nano(time)) AS first, max(toUnixTimestamp64Nano(time)) AS last,
  max(toUnixTimestamp64Nano(time) + toInt64(ifNull(duration_ms, 0) * 1000000)) AS ended,
  sum(cost) AS cost, countIf(${erred}) AS bad, countIf(notEmpty(failed_checks)) AS failing,
  arraySlice(arraySort(groupUniqArrayArray(failed_checks)), 1, 4) AS failed,
  if(countIf(mapContains(scores, {scorer:String})) = 0, NULL, {sign:Int8} * minIf({sign:Int8} * scores[{scorer:String}], mapContains(scores, {scorer:String}))) AS worst,
  argMin(trace_id, (if(mapContains(scores, {scorer:String}), 0, 1), {sign:Int8} * scores[{scorer:String}])) AS worst_trace
FROM turn
WHERE key IN (
  SELECT key FROM turn GROUP BY key
  HAVING {before_ns:Int64} = 0 OR (max(toUnixTimestamp64Nano(time)), key) < ({before_ns:Int64}, {before_key:String})
  ORDER BY max(time) DESC, key DESC LIMIT {most:UInt32})
GROUP BY key ORDER BY last DESC, key DESC

-- name: page_worst
-- The traces of the range with the lowest values of one scorer, or with `sign` = -1 the highest.
SELECT trace_id, toUnixTimestamp64Nano(time) AS start, scores[{metric:String}] AS value,
  substring(ifNull(input_text, ''), 1, 400) AS input, substring(ifNull(output_text, ''), 1, 400) AS output,
  prompt_version, error_class
FROM traces FINAL
WHERE project = {project:String} AND mapContains(scores, {metric:String})
  ${range}
  ${cohort}
ORDER BY value * {sign:Int8}, time DESC LIMIT {most:UInt32}

-- name: page_traces_by_id
-- One short row for each of the given traces.
SELECT trace_id, toUnixTimestamp64Nano(time) AS start, root_name, substring(ifNull(input_text, ''), 1, 600) AS input,
  substring(ifNull(output_text, ''), 1, 600) AS output, error_class, duration_ms, cost, prompt_version, scenario, scores
FROM traces FINAL WHERE project = {project:String} AND trace_id IN {ids:Array(String)}

-- name: page_trace_left
-- What the row of one trace says, whether its content is still there or not.
SELECT toUnixTimestamp64Nano(time) AS start, duration_ms, complete, error_class,
  input_tokens, output_tokens, cached_input_tokens, reasoning_output_tokens, cost, pricing_version,
  session_id, user_id, agent_name, prompt_name, prompt_version, scenario, service, environment, release, variant, region
FROM traces FINAL WHERE project = {project:String} AND trace_id = {trace:String}

-- name: page_steps_left
-- The same of its spans, by start.
SELECT span_id, parent_id, name, kind, toUnixTimestamp64Nano(time) AS start, toInt64(version) AS ended, status,
  error_class, error_message, dialect, tool_name, attributes,
  provider, request_model, response_model, temperature, max_tokens,
  input_tokens, output_tokens, cached_input_tokens, reasoning_output_tokens, cost, pricing_version, ttft_ms, finish_reason, duplicate_of,
  session_id, user_id, agent_name, prompt_name, prompt_version, scenario, service, environment, release, variant
FROM spans FINAL WHERE project = {project:String} AND trace_id = {trace:String}
ORDER BY time, span_id

-- name: page_inputs
-- What was asked in each of the given traces, its beginning.
SELECT trace_id, substring(ifNull(input_text, ''), 1, 200) AS input
FROM traces FINAL WHERE project = {project:String} AND trace_id IN {ids:Array(String)}

-- name: page_readable
-- Of each of the traces that is there, whether it is of the day of `since` (ns) or of a later one.
SELECT trace_id, max(day >= toDate(fromUnixTimestamp64Nano({since:Int64}, 'UTC'))) FROM traces
WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
GROUP BY trace_id

-- name: page_deploys
-- Deploys in the range, newest first.
SELECT name, version, toUnixTimestamp64Nano(time) AS at, note FROM deploys FINAL
WHERE project = {project:String} AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
ORDER BY time DESC LIMIT 200

-- name: page_coverage
-- What each scorer should have seen in the range and what became of it.
SELECT scorer, argMax(version, time) AS version, sum(eligible) AS eligible, sum(selected) AS selected,
  sum(scored) AS scored, sum(failed) AS failed, sum(late) AS late, toUnixTimestamp(max(time)) * 1000000000 AS latest
FROM coverage FINAL
WHERE project = {project:String} AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
GROUP BY scorer ORDER BY scorer

-- name: page_spread
-- How one metric's values of a cohort are spread over the bins of its axis, from the rolled points, in the range and in [before, since).
SELECT tick >= ${since_tick} AS current, edges AS axis, sumForEach(hist_w) AS held
FROM points FINAL
WHERE project = {project:String} AND cohort = {cohort:String} AND metric = {metric:String}
  AND tick >= ${before_tick} AND tick < ${until_tick} AND points.n > 0
GROUP BY current, axis, seconds QUALIFY seconds = minIf(seconds, current) OVER () ORDER BY current, max(tick)
