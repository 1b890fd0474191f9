-- Whether nobody can believe the client's times: such a trace is dated by its arrival and is in no series.
ALTER TABLE traces ADD COLUMN IF NOT EXISTS time_suspect Bool DEFAULT false AFTER keep_probability;
