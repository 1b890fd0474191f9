-- Of a trace that was not kept its place in its session stays, without any word of it (`session` is xxHash64 of the session's id, 0
-- without one): what users did after an answer is known only where the turns beside it are.
ALTER TABLE keeping ADD COLUMN IF NOT EXISTS session UInt64, ADD COLUMN IF NOT EXISTS time DateTime64(9, 'UTC'),
  ADD COLUMN IF NOT EXISTS ended DateTime64(9, 'UTC');
