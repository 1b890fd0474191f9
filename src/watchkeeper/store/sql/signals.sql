-- What failure signals are made of. Times are integer nanoseconds since 1970 UTC, [since, until). `low_names` and `low_values` say
-- below which value a score counts as a failure although its scorer sets no rule.

-- name: signals_checks
-- Failed and low checks, one row each, newest first. Traces without any leave before the rest is made of them: blocks of which
-- nothing is left wait to be sorted with all their memory, 600 MB for two weeks of a million traces.
SELECT trace_id, toUnixTimestamp64Nano(time) AS at, c.1 AS scorer, c.2 AS span_id, ifNull(c.5, ifNull(c.4, '')) AS message,
  error_class, release, substring(ifNull(input_text, ''), 1, 600) AS input, 1 / keep_probability AS weight
FROM (
  SELECT trace_id, time, error_class, release, input_text, keep_probability, arrayJoin(bad) AS c
  FROM (
    SELECT trace_id, time, error_class, release, input_text, keep_probability,
      arrayFilter(x -> (isNotNull(x.6) AND x.6 = false) OR
        (isNotNull(x.3) AND has({low_names:Array(String)}, x.1) AND x.3 < {low_values:Array(Float64)}[indexOf({low_names:Array(String)}, x.1)]),
      arrayMap((a, b, v, l, r, p) -> (toString(a), b, v, toString(l), r, p),
        checks.scorer, checks.span_id, checks.value, checks.label, checks.reason, checks.passed)) AS bad
    FROM traces FINAL
    WHERE project = {project:String}
      ${range}
      AND notEmpty(bad)
  )
)
ORDER BY at DESC, trace_id, scorer LIMIT {limit:UInt32}

-- name: signals_scores
-- Failed and low scores of judges, users, classifiers and others, the latest of each scorer and trace, newest first. What people
-- say is taken from their labels.
SELECT s.trace_id AS trace_id, s.at AS at, s.scorer AS scorer, s.source AS source, s.message AS message, s.span_id AS span_id,
  t.error_class AS error_class, t.release AS release, t.input AS input, s.weight AS weight
FROM (
  SELECT trace_id, scorer, argMax(source, scored_at) AS source, toUnixTimestamp64Nano(max(time)) AS at,
    argMax(span_id, scored_at) AS span_id, argMax(ifNull(reason, ifNull(toString(label), '')), scored_at) AS message,
    argMax(1 / inclusion_probability, scored_at) AS weight,
    argMax(${failed}, scored_at) AS bad
  FROM scores FINAL
  WHERE project = {project:String} AND scores.source != 'human'
    ${range}
  GROUP BY trace_id, scorer HAVING bad
  ORDER BY at DESC, trace_id, scorer LIMIT {limit:UInt32}
) AS s
LEFT JOIN (
  SELECT trace_id, error_class, release, substring(ifNull(input_text, ''), 1, 600) AS input FROM traces FINAL
  WHERE project = {project:String}
    AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
    -- By their keys the few are found without merging, and holding, all traces of the window.
    AND trace_id IN (SELECT trace_id FROM scores WHERE project = {project:String} AND source != 'human' AND ${failed}
      ${range})
) AS t ON t.trace_id = s.trace_id
ORDER BY at DESC, trace_id, scorer

-- name: signals_errors
-- Spans whose call or tool failed: what failed, in which tool, under which names, newest traces first.
SELECT trace_id, span_id, toUnixTimestamp64Nano(time) AS at, name, tool_name, error_class,
  substring(ifNull(error_message, ''), 1, 600) AS message
FROM spans FINAL
WHERE project = {project:String} AND (isNotNull(error_class) OR status = 'error')
  ${range}
ORDER BY at DESC, trace_id, span_id LIMIT {limit:UInt32}

-- name: signals_broken
-- Traces with an error class and no failed check to carry it, newest first; `ids` adds traces people labelled.
SELECT trace_id, toUnixTimestamp64Nano(time) AS at, error_class, release, empty(failed_checks) AS alone,
  substring(ifNull(input_text, ''), 1, 600) AS input, 1 / keep_probability AS weight
FROM traces FINAL
WHERE project = {project:String}
  ${range}
  AND ((isNotNull(error_class) AND empty(failed_checks)) OR has({ids:Array(String)}, trace_id))
ORDER BY at DESC, trace_id LIMIT {limit:UInt32}

-- name: signals_traffic
-- Traces in the window and in its last part, by release, with the release's first appearance.
SELECT ifNull(toString(release), '') AS version, sum(1 / keep_probability) AS total,
  sumIf(1 / keep_probability, time >= fromUnixTimestamp64Nano({recent:Int64})) AS lately,
  toUnixTimestamp64Nano(min(time)) AS first_seen
FROM traces FINAL
WHERE project = {project:String}
  ${range}
GROUP BY version ORDER BY version

-- name: signals_passing
-- Traces in which nothing failed, a fixed random choice: of these scenarios (of all when none is named).
SELECT trace_id FROM traces FINAL
WHERE project = {project:String}
  ${range}
  AND isNull(error_class) AND empty(failed_checks) AND NOT output_text.null
  AND (empty({scenarios:Array(String)}) OR has({scenarios:Array(String)}, ifNull(toString(scenario), '')))
ORDER BY sipHash64(trace_id) LIMIT {limit:UInt32}

-- name: signals_inputs
-- What was asked: a fixed random sample of the window's traces with an input, which may be blank, and of how many it was taken
-- (weighted). The texts of the sample alone are read: those of all traces of a window are hundreds of megabytes.
SELECT trace_id, toUnixTimestamp64Nano(time) AS at, release, substring(ifNull(input_text, ''), 1, 600) AS input,
  1 / keep_probability AS weight,
  (SELECT sum(1 / keep_probability) FROM traces FINAL WHERE project = {project:String} ${range} AND NOT input_text.null) AS total
FROM traces
WHERE project = {project:String}
  ${range}
  AND NOT input_text.null
  AND (trace_id, assembled_at) IN (
    SELECT trace_id, max(assembled_at) FROM traces
    WHERE project = {project:String}
      ${range}
      AND trace_id IN (
        SELECT DISTINCT trace_id FROM traces
        WHERE project = {project:String}
          ${range}
          AND NOT input_text.null
        ORDER BY sipHash64(trace_id) LIMIT {limit:UInt32}
      )
    GROUP BY trace_id
  )
ORDER BY sipHash64(trace_id) LIMIT 1 BY trace_id

-- name: signals_unanswered
-- What was asked and not answered: refused, answered with "I don't know", or with an answer that is not about the question.
SELECT trace_id, toUnixTimestamp64Nano(time) AS at, release, substring(ifNull(input_text, ''), 1, 600) AS input,
  1 / keep_probability AS weight, 0 AS total
FROM traces FINAL
WHERE project = {project:String}
  ${range}
  AND notEmpty(trimBoth(ifNull(input_text, '')))
  AND (scores['refusal'] >= 0.5 OR scores['uncertainty'] >= 0.5
    OR arrayExists((n, v) -> mapContains(scores, n) AND scores[n] < v, {low_names:Array(String)}, {low_values:Array(Float64)}))
ORDER BY time DESC, trace_id LIMIT {limit:UInt32}

-- name: signals_cohorts
-- Of every value of the usual dimensions, and of all traffic as the dimension '': traces of the window and how many of them are among
-- `ids`. Traces alike in all dimensions are counted first.
SELECT dimension, value, sum(traces) AS n, sum(ours) AS k
FROM (
  SELECT scenario, prompt_version, release, if(empty(models), NULL, toString(models[1])) AS model, service, environment, region,
    variant, agent_name, count() AS traces, countIf(trace_id IN {ids:Array(String)}) AS ours
  FROM traces FINAL
  WHERE project = {project:String}
    ${range}
  GROUP BY scenario, prompt_version, release, model, service, environment, region, variant, agent_name
)
ARRAY JOIN
  ['', 'scenario', 'prompt_version', 'release', 'model', 'service', 'environment', 'region', 'variant', 'agent_name'] AS dimension,
  ['', toString(scenario), toString(prompt_version), toString(release), model, toString(service), toString(environment),
    toString(region), toString(variant), toString(agent_name)] AS value
WHERE isNotNull(value) GROUP BY dimension, value HAVING k > 0 ORDER BY dimension, k DESC LIMIT 60

-- name: triage_bad
-- Failed or low scores of the window, one row a trace and scorer: checks first, then everybody else's.
SELECT trace_id, scorer, max(badness) AS badness, any(cohort) AS cohort, max(at) AS at, any(input) AS input, any(reason) AS reason
FROM (
  SELECT trace_id, c.1 AS scorer, 1 - ifNull(c.2, 0) AS badness, ifNull(toString(scenario), '') AS cohort,
    toUnixTimestamp64Nano(time) AS at, substring(ifNull(input_text, ''), 1, 600) AS input, ifNull(c.4, '') AS reason
  FROM (
    SELECT trace_id, scenario, time, input_text,
      arrayJoin(arrayFilter(x -> (isNotNull(x.3) AND x.3 = false) OR (isNotNull(x.2) AND has({low_names:Array(String)}, x.1)
          AND x.2 < {low_values:Array(Float64)}[indexOf({low_names:Array(String)}, x.1)]),
        arrayMap((a, v, p, r) -> (toString(a), v, p, r), checks.scorer, checks.value, checks.passed, checks.reason))) AS c
    FROM traces FINAL
    WHERE project = {project:String}
      ${range}
  )
  UNION ALL
  SELECT s.trace_id AS trace_id, s.scorer AS scorer, s.badness AS badness, t.cohort AS cohort, s.at AS at, t.input AS input, s.reason AS reason
  FROM (
    SELECT trace_id, toString(scorer) AS scorer, 0 - argMax(ifNull(value, 0), scored_at) AS badness,
      toUnixTimestamp64Nano(max(time)) AS at, argMax(ifNull(reason, ''), scored_at) AS reason
    FROM scores FINAL
    WHERE project = {project:String} AND source != 'human'
      ${range}
    GROUP BY trace_id, scorer
    HAVING argMax(${failed}, scored_at)
  ) AS s
  INNER JOIN (
    SELECT trace_id, ifNull(toString(scenario), '') AS cohort, substring(ifNull(input_text, ''), 1, 600) AS input
    FROM traces FINAL
    WHERE project = {project:String}
      AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
      -- By their keys the few are found without merging, and holding, all traces of the window.
      AND trace_id IN (SELECT trace_id FROM scores WHERE project = {project:String} AND source != 'human' AND ${failed}
        ${range})
  ) AS t ON t.trace_id = s.trace_id
)
GROUP BY trace_id, scorer ORDER BY scorer, badness DESC, trace_id LIMIT 500 BY scorer LIMIT 20000
