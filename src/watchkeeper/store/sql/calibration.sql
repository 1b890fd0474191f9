-- A scorer version's verdicts on traces, for comparing it with people. Times are integer nanoseconds since 1970 UTC,
-- [since, until). A verdict is value >= cut where `has_cut`, the scorer's own pass otherwise. A cohort is given one parameter
-- a dimension, '' for any value. Checks and local classifiers are in the trace's row, everything else in `scores`.

-- name: calibration_candidates
-- Scored traces in random order within each verdict, at most `most` of each, with how many there are in all (`size`).
WITH
  stored AS (
    ${stored_verdicts}
  ),
  seen AS (
    SELECT trace_id, toUnixTimestamp64Nano(time) AS at, session_id, models, ifNull(lengthUTF8(output_text), 0) AS letters,
      scenario, prompt_name, prompt_version, provider, variant, release, service, environment, region, agent_name,
      if(keep_probability > 0, keep_probability, 1) AS keep,
      ${own_verdicts}
    FROM traces FINAL
    WHERE project = {project:String}
      ${range}
  ),
  said AS (
    SELECT s.trace_id AS trace_id, at, session_id, models, letters, scenario, prompt_name, prompt_version, provider, variant,
      release, service, environment, region, agent_name,
      if(place > 0, own_value, o.value) AS x, if(place > 0, own_passed, o.passed) AS p,
      keep * if(place > 0 OR o.chance <= 0, 1., o.chance) AS chance,
      if({has_cut:Bool}, if(isNull(x), NULL, x >= {cut:Float64}), p) AS ok
    FROM seen AS s LEFT JOIN stored AS o ON o.trace_id = s.trace_id
    WHERE place > 0 OR o.chance > 0
  )
SELECT * FROM (
  SELECT trace_id, at, session_id, models, letters, scenario, prompt_name, prompt_version, provider, variant, release, service,
    environment, region, agent_name, x AS value, chance, assumeNotNull(ok) AS passed,
    count() OVER (PARTITION BY ok) AS size,
    row_number() OVER (PARTITION BY ok ORDER BY sipHash64({salt:String}, trace_id)) AS place
  FROM said WHERE isNotNull(ok)
) WHERE place <= {most:UInt32} ORDER BY passed, place

-- name: calibration_window
-- Weighted sums of the verdicts of a window and cohort by stretches of `step` nanoseconds from its beginning: w = 1 / probability
-- of being scored.
WITH
  stored AS (
    ${stored_verdicts}
  ),
  seen AS (
    SELECT trace_id, if(keep_probability > 0, keep_probability, 1) AS keep,
      intDiv(toUnixTimestamp64Nano(time) - {since:Int64}, {step:Int64}) AS stretch,
      ${own_verdicts}
    FROM traces FINAL
    WHERE project = {project:String}
      ${range}
      ${cohort}
  ),
  said AS (
    SELECT stretch, if(place > 0, own_value, o.value) AS x, if(place > 0, own_passed, o.passed) AS p,
      1 / (keep * if(place > 0 OR o.chance <= 0, 1., o.chance)) AS w,
      if({has_cut:Bool}, if(isNull(x), NULL, toFloat64(x >= {cut:Float64})), toFloat64(p)) AS ok
    FROM seen AS s LEFT JOIN stored AS o ON o.trace_id = s.trace_id
    WHERE place > 0 OR o.chance > 0
  )
SELECT stretch, count() AS n, sum(w) AS sw, sum(w * w) AS sw2, sum(w * ok) AS swx, sum(w * w * ok) AS sw2x,
  sum(w * x) AS swv, sum(w * x * x) AS swv2, sum(w * w * x) AS sw2v, sum(w * w * x * x) AS sw2v2, count(x) AS measured
FROM said WHERE isNotNull(ok) GROUP BY stretch ORDER BY stretch

-- name: scorer_sums
-- Mergeable sums of every scorer of all traffic by the version that made them, from the rolled points.
SELECT metric, splitByChar(' ', toString(version))[1] AS made, any(edges) AS axis,
  toUnixTimestamp(min(tick)) * 1000000000 AS first_seen, toUnixTimestamp(max(tick)) * 1000000000 AS last_seen,
  sum(n) AS n, sum(sw) AS sw, sum(sw2) AS sw2, sum(swx) AS swx, sum(swx2) AS swx2, sum(sw2x) AS sw2x, sum(sw2x2) AS sw2x2
FROM points FINAL
WHERE project = {project:String} AND cohort = ''
  AND tick >= ${since_tick} AND tick < ${until_tick} AND points.n > 0
GROUP BY metric, made, seconds QUALIFY n > 0 AND seconds = min(seconds) OVER () ORDER BY metric, last_seen

-- name: scorer_coverage
-- What each scorer version should have seen and what became of it.
SELECT scorer, version, sum(eligible) AS eligible, sum(selected) AS selected, sum(scored) AS scored, sum(failed) AS failed,
  sum(late) AS late, toUnixTimestamp(min(time)) * 1000000000 AS first_seen, toUnixTimestamp(max(time)) * 1000000000 AS last_seen
FROM coverage FINAL
WHERE project = {project:String} AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
GROUP BY scorer, version ORDER BY scorer, last_seen

-- name: scorer_costs
-- What the judgements of the window cost, in USD, and in how many the judge could not tell; a score without a known cost is
-- counted in `n` only.
SELECT scorer, sum(cost) AS usd, count(cost) AS priced, countIf(label = {abstained:String}) AS abstained, count() AS n
FROM scores FINAL
WHERE project = {project:String} AND source = 'judge'
  ${range}
GROUP BY scorer ORDER BY scorer
