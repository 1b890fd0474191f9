-- What arrived or was made since a moment is read by forwarding in windows of it: old parts are left out by these.
ALTER TABLE content ADD INDEX IF NOT EXISTS arrival received_at TYPE minmax;
ALTER TABLE logs ADD INDEX IF NOT EXISTS arrival received_at TYPE minmax;
ALTER TABLE scores ADD INDEX IF NOT EXISTS made scored_at TYPE minmax;
ALTER TABLE traces ADD INDEX IF NOT EXISTS assembly assembled_at TYPE minmax;
