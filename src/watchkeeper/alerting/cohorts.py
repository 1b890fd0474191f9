"""Cohorts as text and as a tree: everything above every value of a dimension."""

from watchkeeper.model.series import Cohort

OTHER, UNKNOWN = "other", "unknown"
_ESCAPES = (("%", "%25"), (",", "%2C"), ("=", "%3D"))


def cohort_text(cohort: Cohort) -> str:
    """The canonical string: "k=v,k2=v2" with keys sorted, "" for all traffic; `,`, `=` and `%` in values escaped.

    >>> cohort_text((("prompt_version", "v2"), ("model", "a,b")))
    'model=a%2Cb,prompt_version=v2'
    """
    return ",".join(f"{key}={_escape(value)}" for key, value in sorted(cohort))


def _escape(value: str) -> str:
    for character, code in _ESCAPES:
        value = value.replace(character, code)
    return value


def cohort_parse(text: str) -> Cohort:
    """The inverse of `cohort_text`. Raises ValueError for a part without '='."""
    if not text:
        return ()
    pairs: list[tuple[str, str]] = []
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"'{part}' in cohort '{text}' is not key=value")
        for character, code in reversed(_ESCAPES):
            value = value.replace(code, character)
        pairs.append((key, value))
    return tuple(sorted(pairs))


def cohort_words(cohort: Cohort) -> str:
    """A cohort for people: "prompt_version v2, model m", or "all traffic".

    >>> cohort_words((("prompt_version", "v2"),))
    'prompt_version v2'
    """
    return ", ".join(f"{key} {value}" for key, value in cohort) or "all traffic"


def is_child(child: Cohort, parent: Cohort) -> bool:
    """Is every trace of `child` also one of `parent`, and `child` narrower?"""
    return len(child) > len(parent) and set(parent) <= set(child)
