"""What is wrong with a configuration, said so that it can be fixed at once."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One fault: where it is (1-based line and column), which key, what is wrong and what is allowed instead."""

    file: str
    line: int
    column: int
    key: str
    message: str
    allowed: str = ""
    level: str = "error"

    def __str__(self) -> str:
        """`file:line:column: key: message (allowed)` on one line."""
        text = f"{self.file}:{self.line}:{self.column}: "
        text += f"{self.level}: " if self.level != "error" else ""
        text += f"{self.key}: {self.message}" if self.key else self.message
        text = f"{text} ({self.allowed})" if self.allowed else text
        # A key or value may hold anything, and this goes to a terminal and into a log of lines.
        return "".join(c if c.isprintable() else "·" for c in text)


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` lists every fault found, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        super().__init__("\n".join(str(p) for p in self.problems))


def did_you_mean(word: str, known: Iterable[str], limit: int = 12) -> str:
    """`did you mean 'x'?` for a near miss, followed by what is allowed."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(word[:80], names, n=1, cutoff=0.6)
    listed = ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}allowed: {listed}" if names else guess.strip()


def shown(text: object, limit: int = 60) -> str:
    """A value quoted for a message: one line, no control characters, not too long."""
    raw = str(text)
    clean = "".join(c if c.isprintable() else "·" for c in raw[: limit + 1])
    return f"'{clean[:limit]}…'" if len(raw) > limit else f"'{clean}'"
