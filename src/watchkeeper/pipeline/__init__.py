"""Flows: one file per arrow between the facts."""
