-- What a list of traces shows, once more in the order of time: the newest of a week stand side by side instead of each among 512
-- others. The engine keeps it beside every part and takes it where a list asks for nothing else (`clickhouse/listing.py`); granules
-- are larger than the table's because it prefers what has fewer. A part written before this is read by its key until the projection is
-- materialised.
ALTER TABLE traces MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';
ALTER TABLE traces ADD PROJECTION IF NOT EXISTS newest (
  SELECT project, time, trace_id, duration_ms, root_name, complete, spans, llm_calls, tool_calls, errors, error_class,
    substringUTF8(input_text, 1, 400), substringUTF8(output_text, 1, 400), models, provider,
    input_tokens, output_tokens, cached_input_tokens, reasoning_output_tokens, cost, pricing_version, ttft_ms, finish_reason,
    session_id, user_id, agent_name, prompt_name, prompt_version, scenario, service, environment, release, variant, region,
    failed_checks, inclusion_probability, policy, keep_probability, time_suspect, scores, day, assembled_at
  ORDER BY project, time, trace_id
) WITH SETTINGS (index_granularity = 1024);
ALTER TABLE traces MATERIALIZE PROJECTION newest;
