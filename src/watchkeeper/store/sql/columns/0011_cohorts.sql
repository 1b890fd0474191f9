-- A page reads all metrics of one cohort, so that these lie together. Ordered by metric first, the few hundred rows of a cohort were part
-- of a granule of every metric, and all granules were read. Killed anywhere, all of it may run again from its beginning.
DROP TABLE IF EXISTS points_by_cohort SYNC;
CREATE TABLE IF NOT EXISTS points_by_cohort (
  project LowCardinality(String), metric LowCardinality(String), cohort String, tick DateTime('UTC'), seconds UInt32,
  n UInt64, sw Float64, sw2 Float64, swx Float64, swx2 Float64, sw2x Float64, sw2x2 Float64,
  edges LowCardinality(String), hist_w Array(Float64), hist_w2 Array(Float64), version LowCardinality(String) DEFAULT '',
  row_version UInt64
) ENGINE = ReplacingMergeTree(row_version) PARTITION BY toYYYYMM(tick) ORDER BY (project, cohort, metric, seconds, tick)
  SETTINGS ${durable}, default_compression_codec = 'ZSTD(3)', index_granularity = 512;
-- In small blocks: a row's histograms take a kilobyte.
INSERT INTO points_by_cohort SELECT * FROM points
  SETTINGS max_block_size = 8192, max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = 65536;
EXCHANGE TABLES points AND points_by_cohort;
-- What another process wrote meanwhile, with ten minutes to spare: rows are replaced by key.
INSERT INTO points SELECT * FROM points_by_cohort
  WHERE row_version > (SELECT max(row_version) FROM points_by_cohort) - 600000000000
  SETTINGS max_block_size = 8192, max_threads = 1, max_insert_threads = 1;
DROP TABLE IF EXISTS points_by_cohort SYNC;
