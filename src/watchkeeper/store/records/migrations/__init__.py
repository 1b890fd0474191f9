"""Numbered changes of the records database, run by `store.records.migrate` at every start."""
