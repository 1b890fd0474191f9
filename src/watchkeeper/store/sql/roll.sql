-- Queries of the series: traces and scores to points, and what the watcher reads. Times are integer nanoseconds since
-- 1970 UTC, [since, until). A set of dimensions is given as positions in the array `dims` below, counted from 1.

-- name: roll_dirty
-- Ticks in which a trace or a score was written since the last look, how far that look reached, and a number that is another
-- when more has been written. A trace that moved changes the tick that it left as well, also when the row that said so has gone.
SELECT tick, max(newest) AS seen, sum(number) AS held FROM (
  SELECT arrayJoin(groupUniqArrayArray(arrayMap(t -> intDiv(toUnixTimestamp(t), {seconds:UInt32}) * {seconds:UInt32},
      arrayPushBack(earlier, toDateTime(time, 'UTC'))))) AS tick,
    max(assembled_at) AS newest, cityHash64(one, newest) AS number
  FROM traces WHERE project = {project:String} AND assembled_at >= {after:UInt64} GROUP BY cityHash64(trace_id) AS one
  UNION ALL
  SELECT arrayJoin(groupUniqArray(intDiv(toUnixTimestamp(time), {seconds:UInt32}) * {seconds:UInt32})) AS tick,
    max(row_version) AS newest, sum(cityHash64(one, span_id, scorer, version, row_version)) AS number
  FROM scores WHERE project = {project:String} AND row_version >= {after:UInt64} GROUP BY cityHash64(trace_id) AS one
) GROUP BY tick ORDER BY tick

-- name: roll_held
-- The ticks that hold a trace, in order.
SELECT DISTINCT intDiv(toUnixTimestamp(time), {seconds:UInt32}) * {seconds:UInt32} AS tick
FROM traces
WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
  AND day <= toDate(fromUnixTimestamp64Nano({until:Int64}))
  AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64}) AND NOT time_suspect
ORDER BY tick

-- name: roll_values
-- Values of each dimension by volume, so that the largest keep a series of their own. Positions as in roll_points.
SELECT d.1 AS dimension, d.2 AS value, count() AS n FROM (
  SELECT arrayJoin(arrayZip(range(1, 12), [
    ifNull(agent_name, 'unknown'), ifNull(environment, 'unknown'),
    if(empty(models), 'unknown', models[1]), ifNull(prompt_name, 'unknown'), ifNull(prompt_version, 'unknown'),
    ifNull(provider, 'unknown'), ifNull(region, 'unknown'), ifNull(release, 'unknown'), ifNull(scenario, 'unknown'),
    ifNull(service, 'unknown'), ifNull(variant, 'unknown')])) AS d
  FROM traces FINAL
  WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
    AND day <= toDate(fromUnixTimestamp64Nano({until:Int64}))
    AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
    AND NOT time_suspect
) GROUP BY dimension, value ORDER BY dimension, n DESC, value LIMIT 10000 BY dimension

-- name: roll_ranges
-- Smallest and largest value of each scorer and whether all are whole, to choose the axis of one nobody described.
SELECT ${scorer_metric} AS metric, count() AS n, min(x) AS low, max(x) AS high, min(x = round(x)) AS whole FROM (
  SELECT m.1 AS scorer, m.2 AS x FROM traces FINAL
  ARRAY JOIN arrayZip(mapKeys(scores), mapValues(scores)) AS m
  WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) AND NOT time_suspect
  UNION ALL
  SELECT scorer, ifNull(value, toFloat64(passed)) AS x FROM scores FINAL
  WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
) WHERE isFinite(x) GROUP BY metric

-- name: roll_points
-- Mergeable sums and histograms of every metric, indicator and cohort for all ticks in a range, in one pass.
-- names/low/high/bins/logs: the axes. ind_*: 0/1 series of shares. sets: dimensions of each cohort set.
-- known: the values of each dimension that keep their own series; the others together are 'other'. derived: the names of facts.
-- People's labels are in no series: whom somebody asks to label is hardly ever a matter of chance.
-- made: what made a value (scorer version and judge model, price table); values of different makers stay apart.
-- least, most, whole: of the values themselves, to tell when they have outgrown their axis.
-- Nobody waits for it, and a week that arrived at once (an import) must not fail for good by taking longer than a page may.
-- Nor may an hour of hundreds of thousands of traces by taking more memory: it goes in small blocks, groups that are too many
-- go through the disk, and of a join only the scores are held.
WITH
  chosen AS (
    SELECT trace_id, intDiv(toUnixTimestamp(time), {seconds:UInt32}) * {seconds:UInt32} AS tick,
      1 / if(keep_probability > 0, keep_probability, 1) AS keep,
      arrayMap((v, k) -> if(empty(k) OR has(k, v), v, 'other'), [
        ifNull(agent_name, 'unknown'), ifNull(environment, 'unknown'),
        if(empty(models), 'unknown', models[1]), ifNull(prompt_name, 'unknown'), ifNull(prompt_version, 'unknown'),
        ifNull(provider, 'unknown'), ifNull(region, 'unknown'), ifNull(release, 'unknown'),
        ifNull(scenario, 'unknown'), ifNull(service, 'unknown'), ifNull(variant, 'unknown')
      ], {known:Array(Array(String))}) AS dims,
      arrayFilter(m -> isNotNull(m.2), [
        ('traces', toNullable(1.0), ''), ('latency_ms', duration_ms, ''), ('ttft_ms', ttft_ms, ''),
        ('cost', cost, ifNull(toString(pricing_version), '')),
        ('input_tokens', toFloat64(input_tokens), ''), ('output_tokens', toFloat64(output_tokens), ''),
        ('error_rate', toNullable(toFloat64(has({transport:Array(String)}, ifNull(error_class, '')))), ''),
        ('tool_error_rate', if(tool_calls > 0, toNullable(toFloat64(ifNull(error_class, '') = 'tool_error')), NULL), ''),
        (concat('error_class:', ifNull(error_class, '')), if(isNull(error_class), NULL, toNullable(1.0)), '')
      ]) AS facts,
      arrayMap(s -> indexOf(checks.scorer, s), mapKeys(scores)) AS places,
      arrayMap((scorer, v, i) -> (${scorer_metric}, toNullable(v), toString(checks.version[i])),
        arrayFilter((_, i) -> i > 0, mapKeys(scores), places), arrayFilter((_, i) -> i > 0, mapValues(scores), places),
        arrayFilter(i -> i > 0, places)) AS checked
    FROM traces FINAL
    WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
      AND day <= toDate(fromUnixTimestamp64Nano({until:Int64}))
      AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
      AND NOT time_suspect
  ),
  others AS (
    SELECT trace_id, scorer, any(${scorer_metric}) AS base, concat(version, if(judge_model = '', '', ' '), judge_model) AS made,
      argMax(ifNull(value, toFloat64(passed)), (span_id = '', scored_at)) AS x,
      argMax(1 / inclusion_probability, (span_id = '', scored_at)) AS chance
    FROM scores FINAL
    WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
      AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
      AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
      AND inclusion_probability > 0 AND source != 'human' AND (isNotNull(value) OR isNotNull(passed))
    GROUP BY trace_id, scorer, made
  ),
  measured AS (
    SELECT tick, dims, m.1 AS base, assumeNotNull(m.2) AS value, m.3 AS made, keep AS weight
    FROM chosen ARRAY JOIN arrayConcat(facts, checked) AS m
    UNION ALL
    SELECT c.tick AS tick, c.dims AS dims, o.base AS base, o.x AS value, o.made AS made, c.keep * o.chance AS weight
    FROM (SELECT * FROM chosen WHERE trace_id IN (SELECT trace_id FROM others)) AS c
    INNER JOIN others AS o ON o.trace_id = c.trace_id
    WHERE NOT has(arrayMap(m -> m.1, c.checked), o.base)
  ),
  named AS (
    SELECT tick, dims, weight, made, s.1 AS metric, s.2 AS x
    FROM measured
    ARRAY JOIN arrayConcat([(base, value)],
      arrayMap(i -> ({ind_name:Array(String)}[i], toFloat64(multiIf(
          {ind_op:Array(String)}[i] = '<', value < {ind_limit:Array(Float64)}[i],
          {ind_op:Array(String)}[i] = '<=', value <= {ind_limit:Array(Float64)}[i],
          {ind_op:Array(String)}[i] = '>', value > {ind_limit:Array(Float64)}[i],
          value >= {ind_limit:Array(Float64)}[i]))),
        arrayFilter(i -> {ind_metric:Array(String)}[i] = base, arrayEnumerate({ind_metric:Array(String)})))) AS s
    WHERE isFinite(value)
  ),
  placed AS (
    SELECT tick, dims, metric, made, x, weight, transform(metric, {names:Array(String)}, arrayEnumerate({names:Array(String)}), 0) AS axis,
      {low:Array(Float64)}[axis] AS a, {high:Array(Float64)}[axis] AS b, {bins:Array(UInt32)}[axis] AS k,
      if({logs:Array(UInt8)}[axis] = 1, if(x <= a, -1, log(x / a) / log(b / a) * k), (x - a) / (b - a) * k) AS place,
      toUInt16(greatest(0, least(toFloat64(k) + 1, ceil(place - 1e-9)))) AS bin
    FROM named WHERE axis > 0
  ),
  filled AS (
    -- Traces alike in everything first: the sums of their values are then added up for each set of dimensions.
    SELECT tick, dims, metric, made, bin, count() AS size, sum(weight) AS w, sum(weight * weight) AS w2, sum(weight * x) AS wx,
      sum(weight * x * x) AS wx2, sum(weight * weight * x) AS w2x, sum(weight * weight * x * x) AS w2x2,
      min(x) AS low_x, max(x) AS high_x, min(x = round(x)) AS whole_x
    FROM placed GROUP BY tick, dims, metric, made, bin
  )
SELECT tick, metric, c.1 AS cohort_set, c.2 AS cohort, sum(size) AS n, sum(w) AS sw, sum(w2) AS sw2, sum(wx) AS swx,
  sum(wx2) AS swx2, sum(w2x) AS sw2x, sum(w2x2) AS sw2x2, sumMap([bin], [w], [w2]) AS hist, made,
  min(low_x) AS least, max(high_x) AS most, min(whole_x) AS whole
FROM filled
ARRAY JOIN arrayMap((s, i) -> (i, arrayMap(d -> dims[d], s)), {sets:Array(Array(UInt8))},
  arrayEnumerate({sets:Array(Array(UInt8))})) AS c
GROUP BY tick, metric, made, cohort_set, cohort
SETTINGS max_execution_time = 300, max_block_size = 8192, max_bytes_before_external_group_by = 100000000

-- name: roll_existing
-- Which series already have a point in these ticks, so that one that is gone is overwritten and not left behind; also one of another
-- length, which tells of the same traces.
SELECT toUnixTimestamp(tick) AS tick, metric, cohort, edges, seconds FROM points FINAL
WHERE project = {project:String} AND n > 0
  AND tick > fromUnixTimestamp64Nano({since:Int64}) - toIntervalDay(1) AND tick < fromUnixTimestamp64Nano({until:Int64})
  AND tick + seconds > fromUnixTimestamp64Nano({since:Int64})

-- name: watch_span
-- The first and last tick for which there are points.
SELECT count() AS n, toUnixTimestamp(min(tick)) AS first, toUnixTimestamp(max(tick)) AS last FROM points
WHERE project = {project:String} AND seconds = {seconds:UInt32}

-- name: watch_worst
-- The traces of a cohort with the worst value of a metric: lowest first, or highest first with `sign` = -1. `scorer`: whose values it is
-- made of.
SELECT trace_id, toUnixTimestamp64Nano(time) AS time_ns, value, input_text, output_text, error_class, prompt_version FROM (
  SELECT trace_id, time, error_class, prompt_version,
    substring(ifNull(input_text, ''), 1, 500) AS input_text, substring(ifNull(output_text, ''), 1, 500) AS output_text,
    multiIf({metric:String} = 'latency_ms', duration_ms, {metric:String} = 'ttft_ms', ttft_ms, {metric:String} = 'cost', cost,
      {metric:String} = 'output_tokens', toFloat64(output_tokens), {metric:String} = 'input_tokens', toFloat64(input_tokens),
      {metric:String} = 'error_rate', toFloat64(has({transport:Array(String)}, ifNull(error_class, ''))),
      {metric:String} = 'tool_error_rate', toFloat64(ifNull(error_class, '') = 'tool_error'),
      startsWith({metric:String}, 'error_class:'), toFloat64(ifNull(error_class, '') = substring({metric:String}, 13)),
      mapContains(scores, {scorer:String}), toNullable(scores[{scorer:String}]), NULL) AS value,
    [ifNull(agent_name, 'unknown'), ifNull(environment, 'unknown'),
      if(empty(models), 'unknown', models[1]), ifNull(prompt_name, 'unknown'), ifNull(prompt_version, 'unknown'),
      ifNull(provider, 'unknown'), ifNull(region, 'unknown'), ifNull(release, 'unknown'), ifNull(scenario, 'unknown'),
      ifNull(service, 'unknown'), ifNull(variant, 'unknown')] AS dims
  FROM traces FINAL
  WHERE project = {project:String} AND day >= toDate(fromUnixTimestamp64Nano({since:Int64}))
    AND day <= toDate(fromUnixTimestamp64Nano({until:Int64}))
    AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
    AND NOT time_suspect AND arrayAll((d, v) -> dims[d] = v, {positions:Array(UInt8)}, {values:Array(String)})
) WHERE isNotNull(value) ORDER BY value * {sign:Int8}, trace_id LIMIT {limit:UInt32}
