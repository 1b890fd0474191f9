"""Scorers that ask a language model: rubrics as data, untrusted text fenced, replies parsed strictly."""
