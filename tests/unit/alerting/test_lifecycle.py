"""The lifecycle against a small reference interpreter that keeps the whole history and looks back over it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.alerting.lifecycle import Life, Seen, Timing, advance

History = list[tuple[int, Seen]]


def reference(history: History, timing: Timing) -> list[tuple[int, str]]:
    """Every event, decided at each step by scanning the history backwards; no running counters."""
    events: list[tuple[int, str]] = []
    accepted: History = []
    state = "ok"
    started = 0

    def unbroken(kind: Seen) -> int:
        """Since when only `kind` has been seen, up to now, within the present state."""
        since = accepted[-1][0]
        for time, seen in reversed(accepted):
            if seen != kind or time < started:
                break
            since = time
        return since

    for now, seen in history:
        if now <= (accepted[-1][0] if accepted else 0):
            continue
        accepted.append((now, seen))
        if seen == "unknown":
            continue
        if seen in ("no_data", "unstable"):
            if state == "firing" or state == seen:
                continue
            blind = now
            for time, earlier in reversed(accepted):
                if earlier not in ("no_data", "unstable"):
                    break
                blind = time
            if seen == "unstable" or now - blind >= timing.missing_after:
                state, started = seen, now
                events.append((now, seen))
            continue
        if state == "firing":
            if seen == "clear" and now - unbroken("clear") >= timing.keep_firing:
                state, started = "resolved", now
                events.append((now, "resolved"))
            continue
        if state in ("no_data", "unstable"):
            events.append((now, "recovered"))
        if seen == "clear":
            state, started = "ok", now
            continue
        if state != "pending":
            state, started = "pending", now
            events.append((now, "pending"))
        if seen == "breach" and now - unbroken("breach") >= timing.hold:
            state, started = "firing", now
            events.append((now, "firing"))
    return events


SEEN = st.sampled_from(["clear", "clear", "near", "breach", "breach", "no_data", "unstable", "unknown"])
HISTORIES = st.lists(st.tuples(st.integers(-2, 5), SEEN), max_size=40)
TIMINGS = st.builds(Timing, st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))


@settings(max_examples=2000, deadline=None)
@given(HISTORIES, TIMINGS)
def test_it_equals_the_reference_over_any_history(steps: list[tuple[int, Seen]], timing: Timing) -> None:
    history: History = []
    now = 0
    for step, seen in steps:
        now = max(now + step, 0)
        history.append((now, seen))
    life, events = Life(), list[tuple[int, str]]()
    for now, seen in history:
        life, happened = advance(life, seen, now, timing)
        events += [(now, e) for e in happened]
    assert events == reference(history, timing)


def run(timing: Timing, *steps: tuple[int, Seen]) -> tuple[Life, list[tuple[int, str]]]:
    life, events = Life(), list[tuple[int, str]]()
    for now, seen in steps:
        life, happened = advance(life, seen, now, timing)
        events += [(now, e) for e in happened]
    return life, events


@pytest.mark.parametrize(
    ("timing", "steps", "events"),
    [
        (Timing(), [(1, "breach")], [(1, "pending"), (1, "firing")]),
        (Timing(hold=2), [(1, "breach"), (2, "breach"), (3, "breach")], [(1, "pending"), (3, "firing")]),
        (Timing(hold=2), [(1, "breach"), (2, "near"), (3, "breach"), (4, "breach")], [(1, "pending")]),
        (Timing(hold=2), [(1, "breach"), (2, "no_data"), (3, "breach")], [(1, "pending"), (2, "no_data"), (3, "recovered"), (3, "pending")]),
        (Timing(), [(1, "breach"), (2, "no_data"), (9, "no_data")], [(1, "pending"), (1, "firing")]),
        (Timing(), [(1, "breach"), (2, "unstable")], [(1, "pending"), (1, "firing")]),
        (Timing(), [(1, "breach"), (2, "near"), (3, "clear")], [(1, "pending"), (1, "firing"), (3, "resolved")]),
        (Timing(keep_firing=3), [(1, "breach"), (2, "clear"), (4, "breach"), (5, "clear"), (8, "clear")], [(1, "pending"), (1, "firing"), (8, "resolved")]),
        (Timing(missing_after=3), [(1, "no_data"), (3, "no_data"), (4, "no_data")], [(4, "no_data")]),
        (Timing(), [(5, "breach"), (4, "clear"), (5, "clear")], [(5, "pending"), (5, "firing")]),
    ],
)  # fmt: skip
def test_cases(timing: Timing, steps: list[tuple[int, Seen]], events: list[tuple[int, str]]) -> None:
    assert run(timing, *steps)[1] == events


def test_a_second_incident_has_its_own_beginning() -> None:
    life, _ = run(Timing(), (1, "near"), (2, "breach"), (3, "clear"))
    assert (life.state, life.incident_since) == ("resolved", 1)
    life, _ = advance(life, "breach", 9, Timing())
    assert (life.state, life.incident_since) == ("firing", 9)
