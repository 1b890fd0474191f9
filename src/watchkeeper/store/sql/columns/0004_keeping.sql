-- What was decided about keeping a trace, once and for good: later spans of one that was not kept do not bring it back.
CREATE TABLE IF NOT EXISTS keeping (
  project LowCardinality(String), trace_id String, kept UInt8, probability Float64, reason LowCardinality(String),
  decided_at DateTime64(9, 'UTC')
) ENGINE = ReplacingMergeTree ORDER BY (project, trace_id)
  SETTINGS ${durable};
