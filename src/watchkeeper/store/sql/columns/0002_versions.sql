-- What made the values of a point: scorer version and judge model, price table. Points of different versions are two
-- series, so that a new judge does not look like worse answers.
ALTER TABLE points ADD COLUMN IF NOT EXISTS version LowCardinality(String) DEFAULT '' AFTER hist_w2;

-- Mergeable sums of the embeddings of one text field (input, output) of a cohort over one tick: random features,
-- shares of the reference's clusters, points far from all of it. No vector and no text of a single trace is in it.
CREATE TABLE IF NOT EXISTS sketches (
  project LowCardinality(String), field LowCardinality(String), cohort String, tick DateTime('UTC'), seconds UInt32,
  n UInt64, sums Array(Float32) CODEC(ZSTD(1)), version LowCardinality(String), row_version UInt64
) ENGINE = ReplacingMergeTree(row_version) PARTITION BY toYYYYMM(tick) ORDER BY (project, field, cohort, seconds, tick)
  SETTINGS ${durable};
