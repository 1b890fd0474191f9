-- Pieces that several named queries share; `${name}` in a query stands for one.

-- fragment: range
-- Rows of [since, until). The days let partitions be skipped; one more on each side is for clients' clocks.
AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})

-- fragment: cohort
-- Traces of a cohort, one parameter a dimension, '' for any value.
AND (empty({scenario:String}) OR scenario = {scenario:String})
AND (empty({prompt_name:String}) OR prompt_name = {prompt_name:String})
AND (empty({prompt_version:String}) OR prompt_version = {prompt_version:String})
AND (empty({model:String}) OR has(models, {model:String}))
AND (empty({provider:String}) OR provider = {provider:String})
AND (empty({variant:String}) OR variant = {variant:String})
AND (empty({release:String}) OR release = {release:String})
AND (empty({service:String}) OR service = {service:String})
AND (empty({environment:String}) OR environment = {environment:String})
AND (empty({region:String}) OR region = {region:String})
AND (empty({agent_name:String}) OR agent_name = {agent_name:String})

-- fragment: of_session
-- What any version of a trace says of its session, from one column: by their keys the few are found without merging the whole table.
AND trace_id IN (SELECT trace_id FROM traces WHERE project = {project:String} AND session_id = {session:String})

-- fragment: keep
-- How many traces one that was kept stands for: 1 / the probability with which it was stored, here and by sampling upstream.
(1 / if(keep_probability > 0, keep_probability, 1))

-- fragment: erred
-- A call that did not come back, as in `listing.tally`: an answer that a check finds wrong is no error of the call.
(errors > 0 OR ifNull(error_class, '') IN ('bad_request', 'context_length_exceeded', 'rate_limit', 'server_error', 'timeout'))

-- fragment: wrong
-- Everything that is wrong with a trace, as (family, name): its failed checks and its error class.
arrayConcat(arrayMap(c -> ('check', toString(c)), failed_checks),
  if(isNull(error_class), [], [('class', toString(assumeNotNull(error_class)))]))

-- fragment: failed
-- Of a row of scores: whether it failed, or is low although its scorer sets no rule (`low_names`, `low_values`).
(ifNull(passed = false, false) OR (isNotNull(value) AND has({low_names:Array(String)}, toString(scorer))
  AND ifNull(value, 0) < {low_values:Array(Float64)}[indexOf({low_names:Array(String)}, toString(scorer))]))

-- fragment: since_tick
-- The first tick that begins at `since` or later, as ticks are stored: compared with nanoseconds, each row would be converted.
toDateTime(intDiv({since:Int64}, 1000000000) + ({since:Int64} % 1000000000 > 0), 'UTC')

-- fragment: until_tick
toDateTime(intDiv({until:Int64}, 1000000000) + ({until:Int64} % 1000000000 > 0), 'UTC')

-- fragment: before_tick
toDateTime(intDiv({before:Int64}, 1000000000) + ({before:Int64} % 1000000000 > 0), 'UTC')

-- fragment: finest_tick
-- The shortest of the tick lengths that have anything in the range, else of all: each covers all data by itself, and added up they
-- would count twice. Told over the grouped rows, because looking for it beforehand costs as much as reading them.
ifNull(minOrNullIf(seconds, start > 0) OVER (), min(seconds) OVER ())

-- fragment: stored_verdicts
-- What one scorer version stored of each trace last, with the probability with which it was chosen. A scorer of spans counts
-- with its worst span, as it does in the gate.
SELECT trace_id, min(said) AS value, min(fits) AS passed, any(odds) AS chance
FROM (
  SELECT trace_id, argMax(value, scored_at) AS said, argMax(passed, scored_at) AS fits, argMax(inclusion_probability, scored_at) AS odds
  FROM scores FINAL
  WHERE project = {project:String} AND scorer = {scorer:String} AND version = {version:String}
    AND judge_model = {judge_model:String} AND inclusion_probability > 0
    AND day >= toDate(fromUnixTimestamp64Nano({since:Int64})) - 1 AND day <= toDate(fromUnixTimestamp64Nano({until:Int64})) + 1
  GROUP BY trace_id, span_id
)
GROUP BY trace_id

-- fragment: own_verdicts
-- What a check or local classifier of one version said of a trace, its worst span where it looks at spans.
arrayFilter((_, s, v) -> s = {scorer:String} AND v = {version:String}, checks.value, checks.scorer, checks.version) AS own_values,
arrayFilter((_, s, v) -> s = {scorer:String} AND v = {version:String}, checks.passed, checks.scorer, checks.version) AS own_verdicts,
length(own_values) AS place, arrayReduce('min', own_values) AS own_value, arrayReduce('min', own_verdicts) AS own_passed

-- fragment: scorer_metric
-- What the series of a scorer is called: as itself, unless a number of every trace (`derived`), or another such series, is.
if(has({derived:Array(String)}, replaceRegexpOne(toString(scorer), '^(score_)+', '')), concat('score_', scorer), toString(scorer))

-- fragment: beside
-- Of what users did after an answer, where storage sampling kept less than all turns beside it: scorer and trace, and the
-- probability with which what it reads was kept. Nothing where everything is kept.
(SELECT (groupArray(concat(scorer, ' ', trace_id)), groupArray(odds)) FROM (
  SELECT scorer, trace_id, argMax(inclusion_probability, scored_at) AS odds
  FROM scores
  WHERE project = {project:String} AND source = 'signal' AND trace_id IN (
      SELECT trace_id FROM scores
      WHERE project = {project:String} AND source = 'signal' AND inclusion_probability < 1)
  GROUP BY scorer, trace_id HAVING odds > 0 AND odds < 1))
