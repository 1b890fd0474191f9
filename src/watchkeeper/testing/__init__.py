"""What an application's tests and CI use: targets, recordings, the pytest plugin.

`watchkeeper.testing.targets` runs a target over cases, `watchkeeper.testing.recording` answers tools from a recorded
trace, `watchkeeper.testing.plugin` is `pytest --watchkeeper`. Importing them needs the base install only.
"""
