"""Transactional records on SQLite (default) or PostgreSQL: one engine, plain functions per noun.

A noun module (`keys`, `reviews`, `alerts`, …) holds functions that take a SQLAlchemy `Connection` first; callers run
them through `Records.read` and `Records.write`, so a change and its audit line share one transaction.
"""
