"""Cohorts as text and as a tree: everything above every value of a dimension."""

from watchkeeper.model.series import Cohort

OTHER, UNKNOWN = "other", "unknown"


def cohort_text(cohort: Cohort) -> str:
    """The canonical string, as series are stored: "k=v,k2=v2" with keys sorted, "" for all traffic.

    >>> cohort_text((("prompt_version", "v2"), ("model", "m")))
    'model=m,prompt_version=v2'
    """
    return ",".join(f"{key}={value}" for key, value in sorted(cohort))


def cohort_parse(text: str) -> Cohort:
    """The inverse of `cohort_text`. A comma inside a value belongs to the value when no `=` follows it."""
    pairs: list[tuple[str, str]] = []
    for piece in text.split(",") if text else []:
        key, equals, value = piece.partition("=")
        if equals:
            pairs.append((key, value))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{piece}")
    return tuple(pairs)


def cohort_words(cohort: Cohort) -> str:
    """A cohort for people: "prompt_version v2, model m", or "all traffic".

    >>> cohort_words((("prompt_version", "v2"),))
    'prompt_version v2'
    """
    return ", ".join(f"{key} {value}" for key, value in cohort) or "all traffic"


def is_child(child: Cohort, parent: Cohort) -> bool:
    """Is every trace of `child` also one of `parent`, and `child` narrower?"""
    return len(child) > len(parent) and set(parent) <= set(child)
