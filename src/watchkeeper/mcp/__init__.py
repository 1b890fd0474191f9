"""The Model Context Protocol server: what a coding agent needs to see failures and turn them into tests."""
