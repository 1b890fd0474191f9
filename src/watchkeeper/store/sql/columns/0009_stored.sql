-- When a score was written, which may be long after it was made: forwarding reads scores in the order they were stored.
ALTER TABLE scores ADD COLUMN IF NOT EXISTS stored_at DateTime64(9, 'UTC') DEFAULT scored_at;
ALTER TABLE scores ADD INDEX IF NOT EXISTS stored stored_at TYPE minmax;
