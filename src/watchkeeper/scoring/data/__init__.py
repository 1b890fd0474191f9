"""Coefficients of the shipped models, each fitted by `bench/fit.py`."""
