"""Cohorts as text and as a tree: everything above every value of a dimension."""

from watchkeeper.model.series import Cohort

OTHER, UNKNOWN = "other", "unknown"


def cohort_words(cohort: Cohort) -> str:
    """A cohort for people: "prompt_version v2, model m", or "all traffic".

    >>> cohort_words((("prompt_version", "v2"),))
    'prompt_version v2'
    """
    return ", ".join(f"{key} {value}" for key, value in cohort) or "all traffic"


def is_child(child: Cohort, parent: Cohort) -> bool:
    """Is every trace of `child` also one of `parent`, and `child` narrower?"""
    return len(child) > len(parent) and set(parent) <= set(child)
