"""The data in ``sensitive/`` that says what secrets and papers look like; the server reads the same files."""

import re
from collections.abc import Iterable, Iterator
from importlib import resources

_HEAD = re.compile(r"\[(\w+)\]")


def _lines(name: str) -> list[str]:
    text = resources.files("watchkeeper").joinpath(f"sensitive/{name}").read_text("utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


def table(name: str) -> list[tuple[str, str]]:
    """The two columns of a file."""
    return [(first, second) for first, _, second in (line.partition("\t") for line in _lines(name))]


def sections(name: str) -> dict[str, list[str]]:
    """The lines under each ``[heading]`` of a file."""
    found: dict[str, list[str]] = {}
    listed: list[str] = []
    for line in _lines(name):
        head = _HEAD.fullmatch(line)
        if head is None:
            listed.append(line)
        else:
            listed = found.setdefault(head[1], [])
    return found


def tried(pattern: re.Pattern[str], text: str, lowered: str, names: Iterable[str]) -> Iterator[re.Match[str]]:
    """What ``pattern.finditer`` gives, tried only where one of the lower-case names stands that its matches begin with."""
    starts: set[int] = set()
    for name in names:
        at = lowered.find(name)
        while at >= 0:
            starts.add(at)
            at = lowered.find(name, at + 1)
    end = 0
    for start in sorted(starts):
        if start >= end:
            match = pattern.match(text, start)
            if match is not None:
                yield match
                end = match.end()


def lower(text: str) -> str:
    """The text in lower case, or as it is where that would move its characters."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text
