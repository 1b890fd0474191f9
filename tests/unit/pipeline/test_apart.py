"""Scoring in a process beside says what scoring here says, and nothing is lost when that process is."""

import multiprocessing
import operator
import os
import pickle
import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from tests.unit.scoring.build import trace
from watchkeeper.model.score import Outcome, Subject, Verdict
from watchkeeper.model.span import Tool, Trace
from watchkeeper.pipeline import child
from watchkeeper.pipeline.apart import LEAST_SPANS, SLICE_SPANS, Answers, Apart, Scheduled, run
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.pipeline.where import compile_condition
from watchkeeper.scoring.checks.table import CHECKS
from watchkeeper.scoring.custom import CustomScorer


class Where:
    """A scorer that says which process it runs in; one that holds an open file cannot be sent to another."""

    name, version, level = "where", "1", "trace"
    kind: ClassVar[str] = "check"
    trusted: ClassVar[bool] = True

    def __init__(self, held: Any = None) -> None:
        self.held = held

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        return [Verdict(value=float(os.getpid())) for _ in subjects]


def many(n: int = 2 * LEAST_SPANS + 7) -> list[Trace]:
    """Traces that differ in what checks look at, more spans than one slice holds."""
    made: list[Trace] = []
    for i in range(n):
        one = trace(
            f"What is order {i}?", f"Order {i} costs $12.{i % 10}0." if i % 3 else "I'm sorry, I can't help."
        )
        one.trace_id = f"{i:032x}"
        one.context.scenario = "support" if i % 2 else "sales"
        one.spans[0].tool = Tool(
            "lookup", None, {"order": i}, None if i % 5 else "", "timeout" if i % 7 == 0 else None
        )
        made.append(one)
    return made


def scheduled() -> tuple[Scheduled, ...]:
    everywhere = make_plan([], salt="s").scheduled
    made = [
        t(**t.example) for t in CHECKS if t.type in ("terms", "regex", "must_match", "json_schema", "length")
    ]
    support = compile_condition("scenario = 'support'")
    return (*everywhere, *(Scheduled(s, support) for s in made))


@pytest.fixture
def apart() -> Iterator[Apart]:
    made = Apart(lambda: 0)
    yield made
    made.close()


def killed(apart: Apart) -> None:
    assert apart.pid is not None
    os.kill(apart.pid, signal.SIGKILL)


def test_the_first_large_batch_starts_the_process_and_does_not_wait_for_it(apart: Apart) -> None:
    plan, traces = (*scheduled(), Scheduled(Where())), many()
    assert apart(plan, traces)[-1].verdicts[0][1].value == os.getpid()
    deadline = time.monotonic() + 60
    while apart(plan, traces)[-1].verdicts[0][1].value == os.getpid():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert apart(plan, traces)[-1].verdicts[0][1].value == apart.pid


def test_it_says_the_same_in_another_process_and_here(apart: Apart) -> None:
    apart.start()
    traces, plan = many(3 * SLICE_SPANS + 1), (*scheduled(), Scheduled(Where()))
    *there, where = apart(plan, traces)
    assert there == run(plan[:-1], traces)
    assert sum(len(s.verdicts) for s in there) > 5 * len(traces)
    assert {verdict.value for _, verdict in where.verdicts} == {float(apart.pid or 0)}


def test_a_few_traces_are_scored_here_and_start_no_process(apart: Apart) -> None:
    traces = many(LEAST_SPANS - 1)
    assert apart(scheduled(), traces) == run(scheduled(), traces)
    assert apart.pid is None


def test_a_changed_plan_reaches_the_process(apart: Apart) -> None:
    apart.start()
    traces, plan = many(), scheduled()
    assert len(apart(plan, traces)) == len(plan)
    assert apart(plan[3:9], traces) == run(plan[3:9], traces)
    assert apart(plan, traces) == run(plan, traces)


def test_a_killed_process_loses_nothing_and_is_replaced_later(apart: Apart) -> None:
    apart.start()
    plan, traces = scheduled(), many()
    expected = run(plan, traces)
    killed(apart)
    assert apart(plan, traces) == expected
    assert apart(plan, traces) == expected
    apart.start()
    assert apart.sent(plan, traces) == expected


def test_a_process_that_is_killed_while_it_scores_loses_nothing(apart: Apart) -> None:
    apart.start()
    assert apart.pid is not None
    os.kill(apart.pid, signal.SIGSTOP)
    threading.Timer(0.3, killed, (apart,)).start()
    plan, traces = scheduled(), many()
    assert apart(plan, traces) == run(plan, traces)


def test_what_no_message_can_carry_is_scored_here(apart: Apart) -> None:
    apart.start()
    traces, plan = many(), scheduled()
    traces[3].spans[0].tool = Tool("lookup", None, {"n": 2**80}, "ok")
    traces[4].output_text = "half a pair \ud800"
    assert apart(plan, traces) == run(plan, traces)
    assert apart.pid is not None, "the traces are at fault, not the process"


def test_users_own_scorers_and_what_cannot_be_sent_stay_here() -> None:
    asked: list[Any] = []

    def isolate(scorer: Any, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        asked.append(scorer)
        return [Verdict(value=0.5)] * len(subjects)

    own = CustomScorer(name="own", function="os.path:basename")
    held = Where(open(os.devnull))  # noqa: SIM115
    plan = (*scheduled()[:4], Scheduled(own), *scheduled()[4:6], Scheduled(held))
    apart = Apart(lambda: 0, isolate)
    try:
        apart.start()
        asked.clear()
        traces = many()
        found = apart(plan, traces)
    finally:
        apart.close()
        held.held.close()
    assert asked == [own]
    assert found[4].verdicts == [(i, Verdict(value=0.5)) for i in range(len(traces))]
    assert found[7].verdicts[0][1].value == os.getpid()
    assert found[:4] + found[5:7] == run(scheduled()[:6], traces)
    assert all(isinstance(s, Answers) for s in found)


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_a_process_whose_parent_was_killed_ends_without_a_word(
    sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    ours, theirs = multiprocessing.Pipe()
    if sent:
        ours.send((pickle.dumps((operator.methodcaller, ("upper",))), 0))
    if sent > 1:
        ours.send_bytes(b"a")
    ours.close()
    with theirs:
        child.main(os.dup(theirs.fileno()))
