"""Deterministic checks: one file per check, listed in `table.py`."""
