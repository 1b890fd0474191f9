"""Scorers: checks, judges and classifiers behind one contract, driven from one place (`drive.py`)."""
