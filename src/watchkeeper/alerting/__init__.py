"""Rules of alerting: the condition language, the life of an alert, routing and evidence. No clock, no I/O."""
