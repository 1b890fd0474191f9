"""Detectors: frozen rules that turn a state and a point into a state and evidence. Each is one file, and passes the contract of
`tests/contract/test_detectors.py`."""
