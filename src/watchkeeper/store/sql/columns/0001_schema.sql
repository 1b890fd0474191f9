-- Every table has a project. Rows are replaced by key (ReplacingMergeTree); readers that must not see a row twice use
-- FINAL or LIMIT 1 BY. Partitions follow `day`, the span's own date where it is plausible and the arrival date
-- where it is not, so that a client's clock cannot scatter partitions or hasten retention. ${durable}
-- stands for the settings of `clickhouse/migrations.py`: inserts are fsynced before they are acknowledged, merges before
-- they replace what was. ${codec}: in the embedded engine a part is compressed by what it is, LZ4 when it has just come and ZSTD(3) from its
-- first merge on, and a setting of the table would say the same for both; a server's configuration is not ours, so there it is the table's.
-- Tables that much is written to are merged twenty parts at a time: a row is written again less often, and a query looks at some more.
-- ${rested}: a week that has rested for two hours becomes one part, so that FINAL has nothing to merge in it; it costs some ten
-- microseconds of the processor a span, once. Statements end with a semicolon at the end of a line.

CREATE TABLE IF NOT EXISTS spans (
  project LowCardinality(String), trace_id String, span_id String, parent_id Nullable(String),
  name String, kind LowCardinality(String),
  time DateTime64(9, 'UTC'), duration_ms Nullable(Float64),
  status LowCardinality(String), error_class LowCardinality(Nullable(String)), error_message Nullable(String),
  dialect LowCardinality(String), provider LowCardinality(Nullable(String)),
  request_model LowCardinality(Nullable(String)), response_model LowCardinality(Nullable(String)),
  temperature Nullable(Float64), max_tokens Nullable(UInt64),
  input_tokens Nullable(UInt64), output_tokens Nullable(UInt64),
  cached_input_tokens Nullable(UInt64), reasoning_output_tokens Nullable(UInt64),
  cost Nullable(Float64), pricing_version LowCardinality(Nullable(String)),
  ttft_ms Nullable(Float64), finish_reason LowCardinality(Nullable(String)), tool_name LowCardinality(Nullable(String)),
  output_text Nullable(String) CODEC(Default),
  session_id Nullable(String), user_id Nullable(String), agent_name LowCardinality(Nullable(String)),
  prompt_name LowCardinality(Nullable(String)), prompt_version LowCardinality(Nullable(String)),
  scenario LowCardinality(Nullable(String)), service LowCardinality(Nullable(String)),
  environment LowCardinality(Nullable(String)), release LowCardinality(Nullable(String)),
  variant LowCardinality(Nullable(String)),
  duplicate_of Nullable(String),
  attributes Map(LowCardinality(String), String) CODEC(Default),
  day Date, received_at DateTime64(9, 'UTC'), version UInt64,
  INDEX arrival received_at TYPE minmax, INDEX moment time TYPE minmax,
  -- Which spans have an attribute of this value is read from an index of `key newline value`, not from the attributes. Longer
  -- ones than 64 bytes are texts: nobody looks for equal ones, and each would be in the index alone.
  INDEX facts
    arrayFilter(f -> length(f) <= 64, arrayMap((k, v) -> concat(k, '\n', v), mapKeys(attributes), mapValues(attributes)))
    TYPE text(tokenizer = array, posting_list_codec = 'bitpacking')
) ENGINE = ReplacingMergeTree(version) PARTITION BY toMonday(day) ORDER BY (project, trace_id, span_id)
  SETTINGS ${durable}, merge_selector_base = 20${codec}${rested}, index_granularity = 2048, merge_max_block_size = 4096;

-- What the client sent, redacted, whole: one JSON document a span. A list page never reads it. Granules are small because a
-- merge holds several of each part it reads in memory.
CREATE TABLE IF NOT EXISTS content (
  project LowCardinality(String), trace_id String, span_id String,
  body String CODEC(Default), day Date, received_at DateTime64(9, 'UTC'), version UInt64,
  INDEX arrival received_at TYPE minmax
) ENGINE = ReplacingMergeTree(version) PARTITION BY day ORDER BY (project, trace_id, span_id)
  SETTINGS ${durable}, merge_selector_base = 20${codec}, index_granularity = 64, merge_max_block_size = 256;

CREATE TABLE IF NOT EXISTS logs (
  project LowCardinality(String), trace_id String, span_id String, log_id String,
  time DateTime64(9, 'UTC'), name LowCardinality(String), body String CODEC(Default),
  day Date, received_at DateTime64(9, 'UTC'),
  INDEX arrival received_at TYPE minmax
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (project, trace_id, span_id, log_id)
  SETTINGS ${durable}, merge_selector_base = 20${codec}, index_granularity = 64, merge_max_block_size = 256;

-- One row a trace: everything known about it, rewritten when something arrives. `scores` holds the latest value of
-- every scorer; `checks` the deterministic scores themselves (the rest are rows of `scores`). A trace whose times nobody can
-- believe is dated by its arrival (`time_suspect`) and is in no series. `earlier`: minutes in which it may have begun before late
-- spans came, so that the ticks it left are rolled again. The list shows how the texts begin: columns of their
-- own, made by the engine, because a projection keeps whole columns, whatever expression names them.
CREATE TABLE IF NOT EXISTS traces (
  project LowCardinality(String), trace_id String, time DateTime64(9, 'UTC'), duration_ms Nullable(Float64),
  root_name String, complete Bool,
  spans UInt32, llm_calls UInt32, tool_calls UInt32, errors UInt32, error_class LowCardinality(Nullable(String)),
  input_text Nullable(String) CODEC(Default), output_text Nullable(String) CODEC(Default),
  models Array(LowCardinality(String)), provider LowCardinality(Nullable(String)),
  input_tokens Nullable(UInt64), output_tokens Nullable(UInt64),
  cached_input_tokens Nullable(UInt64), reasoning_output_tokens Nullable(UInt64),
  cost Nullable(Float64), pricing_version LowCardinality(Nullable(String)),
  ttft_ms Nullable(Float64), finish_reason LowCardinality(Nullable(String)),
  session_id Nullable(String), user_id Nullable(String), agent_name LowCardinality(Nullable(String)),
  prompt_name LowCardinality(Nullable(String)), prompt_version LowCardinality(Nullable(String)),
  scenario LowCardinality(Nullable(String)), service LowCardinality(Nullable(String)),
  environment LowCardinality(Nullable(String)), region LowCardinality(Nullable(String)),
  release LowCardinality(Nullable(String)), variant LowCardinality(Nullable(String)),
  scores Map(LowCardinality(String), Float64),
  checks Nested(scorer LowCardinality(String), version LowCardinality(String), span_id String, value Nullable(Float64),
                label LowCardinality(Nullable(String)), passed Nullable(Bool), reason Nullable(String)),
  failed_checks Array(LowCardinality(String)),
  inclusion_probability Float64, policy LowCardinality(String), keep_probability Float64,
  time_suspect Bool DEFAULT false, earlier Array(DateTime('UTC')),
  day Date, received_at DateTime64(9, 'UTC'), assembled_at UInt64,
  input_start Nullable(String) MATERIALIZED substringUTF8(input_text, 1, 400),
  output_start Nullable(String) MATERIALIZED substringUTF8(output_text, 1, 400),
  INDEX moment time TYPE minmax,
  INDEX assembly assembled_at TYPE minmax,
  INDEX tokens lowerUTF8(concat(ifNull(input_text, ''), ' ', ifNull(output_text, '')))
    TYPE text(tokenizer = splitByNonAlpha, posting_list_codec = 'bitpacking'),
  -- What a list of traces shows, once more in the order of time: the newest of a week stand side by side instead of each among
  -- 512 others. The engine takes it where a list asks for nothing else (`clickhouse/listing.py`) and it has fewer granules than the table.
  PROJECTION listed (
    SELECT project, time, trace_id, duration_ms, root_name, complete, spans, llm_calls, tool_calls, errors, error_class,
      input_start, output_start, models, provider,
      input_tokens, output_tokens, cached_input_tokens, reasoning_output_tokens, cost, pricing_version, ttft_ms, finish_reason,
      session_id, user_id, agent_name, prompt_name, prompt_version, scenario, service, environment, release, variant, region,
      failed_checks, inclusion_probability, policy, keep_probability, time_suspect, scores, day, assembled_at
    ORDER BY project, time, trace_id
  ) WITH SETTINGS (index_granularity = 640)
) ENGINE = ReplacingMergeTree(assembled_at) PARTITION BY toMonday(day) ORDER BY (project, trace_id)
  SETTINGS ${durable}, merge_selector_base = 20${codec}${rested}, index_granularity = 512, merge_max_block_size = 2048, deduplicate_merge_projection_mode = 'rebuild';

-- Scores that are not made with the trace row itself: judges, classifiers, signals, users, people, other systems.
CREATE TABLE IF NOT EXISTS scores (
  project LowCardinality(String), trace_id String, span_id String, session_id Nullable(String),
  scorer LowCardinality(String), version LowCardinality(String), source LowCardinality(String),
  judge_model LowCardinality(String), author String,
  value Nullable(Float64), label LowCardinality(Nullable(String)), passed Nullable(Bool), reason Nullable(String),
  cost Nullable(Float64), inclusion_probability Float64, policy LowCardinality(String),
  time DateTime64(9, 'UTC'), scored_at DateTime64(9, 'UTC'), day Date, row_version UInt64,
  -- When a score was written, which may be long after it was made: forwarding reads scores in the order they were stored.
  stored_at DateTime64(9, 'UTC') DEFAULT scored_at,
  INDEX made scored_at TYPE minmax, INDEX stored stored_at TYPE minmax
) ENGINE = ReplacingMergeTree(row_version) PARTITION BY toMonday(day)
  ORDER BY (project, trace_id, span_id, scorer, version, judge_model, author)
  SETTINGS ${durable}, merge_selector_base = 10${codec}${rested}, index_granularity = 1024;

-- Mergeable sums of a metric in a cohort over one tick; a tick is recomputed whole, the latest row wins. `version` is what made the
-- values (scorer version and judge model, price table): points of different versions are two series, so that a new judge does not
-- look like worse answers. A page reads all metrics of one cohort, so that these lie together.
CREATE TABLE IF NOT EXISTS points (
  project LowCardinality(String), metric LowCardinality(String), cohort String, tick DateTime('UTC'), seconds UInt32,
  n UInt64, sw Float64, sw2 Float64, swx Float64, swx2 Float64, sw2x Float64, sw2x2 Float64,
  edges LowCardinality(String), hist_w Array(Float64), hist_w2 Array(Float64), version LowCardinality(String) DEFAULT '',
  row_version UInt64
) ENGINE = ReplacingMergeTree(row_version) PARTITION BY toYYYYMM(tick) ORDER BY (project, cohort, metric, seconds, tick)
  SETTINGS ${durable}, merge_selector_base = 10, default_compression_codec = 'ZSTD(3)', index_granularity = 512;

CREATE TABLE IF NOT EXISTS deploys (
  project LowCardinality(String), name String, version String, time DateTime64(9, 'UTC'), note Nullable(String)
) ENGINE = ReplacingMergeTree ORDER BY (project, time, name, version)
  SETTINGS ${durable}, merge_selector_base = 10;

-- The state of each alert as last changed, mirrored from the records for SQL.
CREATE TABLE IF NOT EXISTS alerts (
  project LowCardinality(String), id String, monitor LowCardinality(String), cohort String,
  state LowCardinality(String), severity LowCardinality(String), owner LowCardinality(String), runbook String,
  summary String, since DateTime64(9, 'UTC'), fired_at Nullable(DateTime64(9, 'UTC')),
  resolved_at Nullable(DateTime64(9, 'UTC')), updated_at DateTime64(9, 'UTC'), row_version UInt64
) ENGINE = ReplacingMergeTree(row_version) ORDER BY (project, id)
  SETTINGS ${durable}, merge_selector_base = 10;

-- The coverage ledger: what each scorer should have seen and what became of it.
CREATE TABLE IF NOT EXISTS coverage (
  project LowCardinality(String), scorer LowCardinality(String), version LowCardinality(String),
  time DateTime('UTC'), seconds UInt32,
  eligible UInt64, selected UInt64, scored UInt64, failed UInt64, late UInt64, row_version UInt64
) ENGINE = ReplacingMergeTree(row_version) ORDER BY (project, scorer, version, seconds, time)
  SETTINGS ${durable}, merge_selector_base = 10;

-- Data points of the clients' own instruments (tokens, durations, costs); a histogram as its sum and count.
CREATE TABLE IF NOT EXISTS measurements (
  project LowCardinality(String), name LowCardinality(String), unit LowCardinality(String),
  time DateTime64(9, 'UTC'), value Float64, n UInt64, attributes Map(LowCardinality(String), String),
  day Date, received_at DateTime64(9, 'UTC')
) ENGINE = ReplacingMergeTree(received_at) PARTITION BY toMonday(day) ORDER BY (project, name, time, attributes)
  SETTINGS ${durable}, merge_selector_base = 10${codec};

-- Mergeable sums of the embeddings of one text field (input, output) of a cohort over one tick: random features,
-- shares of the reference's clusters, points far from all of it. No vector and no text of a single trace is in it.
CREATE TABLE IF NOT EXISTS sketches (
  project LowCardinality(String), field LowCardinality(String), cohort String, tick DateTime('UTC'), seconds UInt32,
  n UInt64, sums Array(Float32) CODEC(ZSTD(1)), version LowCardinality(String), row_version UInt64
) ENGINE = ReplacingMergeTree(row_version) PARTITION BY toYYYYMM(tick) ORDER BY (project, field, cohort, seconds, tick)
  SETTINGS ${durable}, merge_selector_base = 10;

-- What was decided about keeping a trace; the last row counts. Later spans of one that was not kept do not bring it back, only what
-- its user says of it.
CREATE TABLE IF NOT EXISTS keeping (
  project LowCardinality(String), trace_id String, kept UInt8, probability Float64, reason LowCardinality(String),
  decided_at DateTime64(9, 'UTC')
) ENGINE = ReplacingMergeTree ORDER BY (project, trace_id)
  SETTINGS ${durable}, merge_selector_base = 10;
