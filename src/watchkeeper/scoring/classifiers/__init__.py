"""Local models that need no key: cheap, measured, and triage only. Listed in `table.py`."""
