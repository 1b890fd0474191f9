"""Cohorts as text and as a tree: everything above every value of a dimension."""

import re

from watchkeeper.model.series import Cohort

# Marks that turn the direction of writing: in a sentence a value may not turn what follows it.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
OTHER, UNKNOWN = "other", "unknown"


def cohort_words(cohort: Cohort) -> str:
    """A cohort for people: "prompt_version v2, model m", or "all traffic".

    >>> cohort_words((("prompt_version", "v2"),))
    'prompt_version v2'
    """
    return ", ".join(f"{key} {_TURNING.sub('', value)}" for key, value in cohort) or "all traffic"


def is_child(child: Cohort, parent: Cohort) -> bool:
    """Is every trace of `child` also one of `parent`, and `child` narrower?"""
    return len(child) > len(parent) and set(parent) <= set(child)
