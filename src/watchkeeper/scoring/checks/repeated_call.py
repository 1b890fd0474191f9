from dataclasses import dataclass
from typing import Any

import msgspec

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import ToolRun, facts


def call_key(run: ToolRun) -> tuple[str | None, bytes] | None:
    """A call's identity: name and arguments, however they were spelled. None where the arguments are not known, because
    content was not recorded: two such calls may differ."""
    arguments: Any = run.arguments
    if arguments is None:
        return None
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments.encode("utf-8", "surrogatepass"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return run.name, arguments.encode("utf-8", "replace")
    try:
        return run.name, msgspec.json.encode(arguments, order="deterministic")
    except (TypeError, ValueError, UnicodeEncodeError):
        return run.name, repr(arguments).encode("utf-8", "replace")


def _news(before: ToolRun, after: ToolRun) -> bool:
    """Whether the second of two equal calls told something else: a clock, a next page, a job's progress. What is not known is no
    news, nor is another error."""
    if before.result is None or after.result is None or before.error or after.error:
        return False
    return before.result != after.result


_LONGEST_CYCLE, _ROUNDS = 4, 4


def _cycle(runs: list[ToolRun], keys: list[tuple[str | None, bytes] | None]) -> list[ToolRun]:
    """Two to four different calls that came round four times with the same results, or none."""
    for period in range(2, _LONGEST_CYCLE + 1):
        same = 0
        for i in range(period, len(runs)):
            equal = (
                keys[i] is not None and keys[i] == keys[i - period] and not _news(runs[i - period], runs[i])
            )
            same = same + 1 if equal else 0
            if same >= (_ROUNDS - 1) * period:
                return runs[i - period + 1 : i + 1]
    return []


@dataclass(frozen=True, kw_only=True)
class RepeatedCall(Check):
    """No tool is called again at once with the same arguments, and no few calls go round in a circle: the signs of a retry loop.
    An equal call at once that brings another result (a next page, a job's progress) is none.

    allowed: how many identical calls in a row are fine. window: how many calls back an equal one counts as a repeat.
    polling: tools that are meant to be asked again.
    """

    type = "repeated_call"
    row = "C2"
    summary = "No identical tool call (same tool, same arguments) is repeated in a row."
    error_class = "tool_error"
    default = True
    example = {"allowed": 1, "window": 1, "polling": ["job_status"]}

    allowed: int = 1
    window: int = 1
    polling: tuple[str, ...] = ()

    def prepare(self) -> None:
        for key in ("allowed", "window"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: must be at least 1")

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        runs = seen.tool_runs or seen.requested
        runs = [r for r in runs if r.name not in self.polling]
        if len(runs) < 2:
            return NotScored("fewer than two tool calls") if not runs else PASS
        keys = [call_key(r) for r in runs]
        streak: dict[int, int] = {}
        worst, where = 1, 0
        for i, key in enumerate(keys):
            earlier = [
                j
                for j in range(max(0, i - self.window), i)
                if key is not None and keys[j] == key and (self.window > 1 or not _news(runs[j], runs[i]))
            ]
            streak[i] = 1 + (streak[earlier[-1]] if earlier else 0)
            if streak[i] > worst:
                worst, where = streak[i], i
        if worst <= self.allowed:
            circle = _cycle(runs, keys) if len(runs) >= 2 * _ROUNDS else []
            if not circle:
                return PASS
            names = ", ".join(str(r.name) for r in circle)
            return fail(f"{names} called in turn {_ROUNDS} times with the same arguments", self.error_class)
        return fail(
            f"{runs[where].name} called {worst} times in a row with the same arguments", self.error_class
        )
