-- The list shows how the texts begin. A projection keeps whole columns, whatever expression names them: `newest` held every text a second
-- time, and each list of 50 read a granule of them. What is shown is a column now, made by the engine from the text, and granules are smaller:
-- the engine takes a projection only where it has fewer than the table (512 rows each). Killed anywhere, all of it may run again.
ALTER TABLE traces ADD COLUMN IF NOT EXISTS input_start Nullable(String) MATERIALIZED substringUTF8(input_text, 1, 400);
ALTER TABLE traces ADD COLUMN IF NOT EXISTS output_start Nullable(String) MATERIALIZED substringUTF8(output_text, 1, 400);
ALTER TABLE traces DROP PROJECTION IF EXISTS newest;
ALTER TABLE traces ADD PROJECTION IF NOT EXISTS listed (
  SELECT project, time, trace_id, duration_ms, root_name, complete, spans, llm_calls, tool_calls, errors, error_class,
    input_start, output_start, models, provider,
    input_tokens, output_tokens, cached_input_tokens, reasoning_output_tokens, cost, pricing_version, ttft_ms, finish_reason,
    session_id, user_id, agent_name, prompt_name, prompt_version, scenario, service, environment, release, variant, region,
    failed_checks, inclusion_probability, policy, keep_probability, time_suspect, scores, day, assembled_at
  ORDER BY project, time, trace_id
) WITH SETTINGS (index_granularity = 640);
ALTER TABLE traces MATERIALIZE PROJECTION listed;
