-- Queries of pricing. Times are integer nanoseconds since 1970 UTC, [since, until).

-- name: reprice_count
-- How many traces with model calls there are whose cost is not of this version of the price table.
SELECT count() AS n FROM traces FINAL
WHERE project = {project:String} AND llm_calls > 0 AND ifNull(toString(pricing_version), '') != {version:String}
  AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})

-- name: reprice_page
-- The next of them, oldest first.
SELECT trace_id, toUnixTimestamp64Nano(time) AS time_ns FROM traces FINAL
WHERE project = {project:String} AND llm_calls > 0 AND ifNull(toString(pricing_version), '') != {version:String}
  AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})
  AND (toUnixTimestamp64Nano(time), trace_id) > ({after:Int64}, {after_id:String})
ORDER BY time_ns, trace_id LIMIT {limit:UInt32}

-- name: unknown_prices
-- Models whose calls have no cost: how often, their tokens, since when, and how many of the calls say their tokens.
SELECT ifNull(s.provider, '') AS provider, ifNull(coalesce(s.response_model, s.request_model), '') AS model, count() AS calls,
  countIf(s.input_tokens IS NOT NULL) AS calls_with_tokens, sum(s.input_tokens) AS input_tokens,
  sum(s.output_tokens) AS output_tokens, min(s.time) AS first, max(s.time) AS last
FROM spans AS s FINAL
WHERE s.project = {project:String} AND s.kind IN ('llm', 'embedding') AND s.cost IS NULL AND s.duplicate_of IS NULL
  AND coalesce(s.response_model, s.request_model) IS NOT NULL
  AND s.time >= fromUnixTimestamp64Nano({since:Int64}) AND s.time < fromUnixTimestamp64Nano({until:Int64})
GROUP BY provider, model ORDER BY calls DESC, model LIMIT 500
