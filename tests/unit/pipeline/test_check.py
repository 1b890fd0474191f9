"""Complete traces become rows with scores, a decision, queued work and exact coverage."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from tests.unit.pipeline.doubles import MemoryColumns
from tests.unit.scoring.build import failing, span, trace
from watchkeeper.config.models import Metric, Sample, Scorecard
from watchkeeper.model.score import Score, Subject
from watchkeeper.model.span import Context, ErrorInfo, Evaluation, Guardrail, RawSpan, Span, Tool, Trace
from watchkeeper.pipeline.apart import run
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.isolate import Isolation
from watchkeeper.pipeline.plan import Plan, make_plan
from watchkeeper.pipeline.where import compile_condition
from watchkeeper.scoring.custom import CustomScorer, resolve
from watchkeeper.scoring.keeping import Keeping, bring, decide
from watchkeeper.server.api.export import _weighed
from watchkeeper.store.columns import KeepingRow, StoreUnavailable, Table
from watchkeeper.store.records import jobs
from watchkeeper.store.records.engine import Records

NOW = 1_760_000_000 * 10**9


def card(*metrics: dict[str, Any], where: str | None = None, **sample: Any) -> Scorecard:
    return Scorecard(
        name="c", where=where, sample=Sample(**sample), metrics=tuple(Metric(**m) for m in metrics)
    )


JUDGE = {"name": "quality", "type": "llm_judge", "model": "fake:j", "prompt": "How good?"}


@pytest.fixture
def check(records: Records) -> Iterator[Callable[..., tuple[CheckFlow, MemoryColumns]]]:
    made: list[CheckFlow] = []

    def build(plan: Plan, **more: Any) -> tuple[CheckFlow, MemoryColumns]:
        columns = MemoryColumns()
        flow = CheckFlow(columns, records, lambda: NOW, lambda _: plan, **more)  # type: ignore[arg-type]
        made.append(flow)
        return flow, columns

    yield build
    for flow in made:
        flow.close()


async def test_a_trace_becomes_one_row_with_its_scores(check: Any) -> None:
    flow, columns = check(make_plan([], salt="s"))
    given = trace("Where is my order?", "Your order is on its way to Hamburg.", llm={"finish_reason": "stop"})
    (row,) = await flow.on_traces([("p", given)], read_ns=5)
    scores = {s.scorer: s for s in row.checks}
    assert columns.traces[("p", given.trace_id)] is row and row.assembled_ns == 5
    assert scores["truncation"].passed is True and scores["truncation"].value == 1.0
    assert scores["answer_relevance"].source == "classifier" and scores["empty_output"].source == "check"
    assert "tool_error" not in scores, "nothing to judge is no score"
    assert all(s.inclusion_probability == 1.0 and s.time_ns == given.start_ns for s in row.checks)
    assert (row.inclusion_probability, row.policy) == (1.0, "all") and given.error_class is None


@pytest.mark.parametrize(
    ("after", "when"),
    [(5, 5), (None, None), (-5, None), (10**18, None)],
    ids=["then", "unknown", "before", "to come"],
)
async def test_what_came_with_the_telemetry_was_said_when_it_says(
    check: Any, after: int | None, when: int | None
) -> None:
    flow, columns = check(make_plan([], salt="s"))
    given = trace("q", "a", llm={"finish_reason": "stop"})
    at = None if after is None else given.start_ns + after
    given.spans[0].evaluations = [
        Evaluation("thumbs", 0.0, author="ada", scored_ns=at, source="user"),
        Evaluation("tone", 2.0, scored_ns=at, source="judge"),
    ]
    await flow.on_traces([("p", given)], read_ns=5)
    said = {s.scorer: s for s in columns.scores.values() if s.scorer in ("thumbs", "tone")}
    assert (said["thumbs"].source, said["tone"].source) == ("user", "external")
    assert {s.scored_ns for s in said.values()} == {NOW if when is None else given.start_ns + when}


async def test_the_error_class_is_the_root_cause(check: Any) -> None:
    flow, _ = check(make_plan([], salt="s"))
    tools = [Tool("t", "1", {}, "Error: x")]
    cases = [
        (trace("q", "a", tools=tools, llm={"finish_reason": "length"}), "truncation"),
        (trace("q", "a", tools=tools), "tool_error"),
        (trace("q", " ", tools=tools), "tool_error"),
        (trace("q", " "), "invalid_output"),
        (trace("q", " ", spans=[failing("rate_limit")]), "rate_limit"),
        (trace("q", "I'm sorry, but I can't help with that."), None),
    ]
    rows = await flow.on_traces([("p", t) for t, _ in cases])
    assert [r.trace.error_class for r in rows] == [c for _, c in cases]


async def test_a_request_that_ended_in_an_exception_failed_unless_something_explains_it(check: Any) -> None:
    flow, _ = check(make_plan([], salt="s"))

    def raised(kind: str, *spans: Span, **more: Any) -> Trace:
        made = trace("q", "a", spans=list(spans), **more)
        assert made.root is not None
        made.root.status, made.root.error = "error", ErrorInfo("other", "boom", kind)
        return made

    cases = [
        (raised("builtins.KeyError"), "server_error"),
        (raised("json.JSONDecodeError", llm={"finish_reason": "length"}), "truncation"),
        (raised("ValueError", tools=[Tool("t", "1", {}, "Error: x")]), "tool_error"),
        (raised("asyncio.exceptions.CancelledError"), None),
        (raised("Blocked", span(40, "guardrail", "no", guardrail=Guardrail(triggered=True))), None),
    ]
    rows = await flow.on_traces([("p", t) for t, _ in cases])
    assert [r.trace.error_class for r in rows] == [c for _, c in cases]


async def test_judges_are_queued_for_the_chosen_traces_with_their_probability(
    check: Any, records: Records
) -> None:
    plan = make_plan([card(JUDGE, rate=0.2, strata={"region": 0.5}, always=("error",))], salt="s")
    flow, columns = check(plan)
    plain = [trace("q", "a", trace_id=f"{i:032x}") for i in range(200)]
    broken = [trace("q", "a", trace_id=f"e{i:031x}", spans=[failing("timeout")]) for i in range(20)]
    placed = [trace("q", "a", trace_id=f"f{i:031x}", context=Context(region="eu")) for i in range(50)]
    rows = await flow.on_traces([("p", t) for t in [*plain, *broken, *placed]])
    taken = records.write_now(lambda c: jobs.claim(c, "judge", "w", NOW, 1000, 10))
    chosen = {j.payload["trace_id"]: j for j in taken}
    assert all(t.trace_id in chosen for t in broken)
    assert (
        20 < sum(t.trace_id in chosen for t in plain) < 65
        and 12 < sum(t.trace_id in chosen for t in placed) < 40
    )
    assert {chosen[t.trace_id].payload["probability"] for t in plain if t.trace_id in chosen} == {0.2}
    assert {j.payload["probability"] for t, j in chosen.items() if t.startswith("f")} == {0.5}
    assert chosen[broken[0].trace_id].priority > chosen[next(t for t in chosen if t.startswith("0"))].priority
    by_id = {r.trace.trace_id: r for r in rows}
    assert by_id[plain[0].trace_id].inclusion_probability == 0.2
    assert by_id[broken[0].trace_id].policy.startswith("always:error@")
    assert columns.covered("quality") == {
        "eligible": 270,
        "selected": len(chosen),
        "scored": 0,
        "failed": 0,
        "late": 0,
    }


async def test_the_same_trace_again_is_late_and_not_counted_twice(check: Any, records: Records) -> None:
    flow, columns = check(make_plan([card(JUDGE, rate=1.0)], salt="s"))
    given = trace("q", "an answer of some words")
    await flow.on_traces([("p", given)])
    await flow.on_traces([("p", given)])
    assert columns.covered("empty_output") == {
        "eligible": 1,
        "selected": 1,
        "scored": 1,
        "failed": 0,
        "late": 1,
    }
    assert records.read_now(lambda c: jobs.depth(c, NOW)).waiting == 1
    assert flow.counts.traces_in == flow.counts.rows_out == 2


async def test_a_trace_reopened_after_a_restart_is_late_and_not_counted_twice(check: Any) -> None:
    plan = make_plan([card(JUDGE, rate=1.0)], salt="s")
    first, before = check(plan)
    given = trace("q", "an answer of some words", trace_id="1" * 32)
    await first.on_traces([("p", given)])
    second, columns = check(plan)
    columns.traces.update(before.traces)
    await second.on_traces([("p", given), ("p", trace("q", "a", trace_id="2" * 32))])
    assert columns.covered("empty_output") == {
        "eligible": 2,
        "selected": 2,
        "scored": 2,
        "failed": 0,
        "late": 1,
    }
    assert columns.covered("quality")["eligible"] == columns.covered("quality")["selected"] == 2


async def test_a_trace_whose_ledger_could_not_be_written_is_counted_when_it_is_done_again(
    check: Any, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, columns = check(make_plan([], salt="s"))
    given = ("p", trace("q", "a", trace_id="3" * 32))
    with monkeypatch.context() as patched:

        async def full(_work: Any) -> Any:
            raise StoreUnavailable("the disk is full")

        patched.setattr(records, "write", full)
        with pytest.raises(StoreUnavailable):
            await flow.on_traces([given])
    assert ("p", "3" * 32) in columns.traces and columns.covered("empty_output")["eligible"] == 0
    await flow.on_traces([given])
    assert columns.covered("empty_output") == {
        "eligible": 1,
        "selected": 1,
        "scored": 1,
        "failed": 0,
        "late": 0,
    }


async def test_a_scorer_that_applied_to_nothing_has_no_line_in_the_ledger(check: Any) -> None:
    flow, columns = check(make_plan([], salt="s"))
    await flow.on_traces([("p", trace("q", "a", trace_id="4" * 32))])
    seen = {r["scorer"] for r in columns.coverage.values()}
    assert "empty_output" in seen and "tool_error" not in seen
    assert all(r["eligible"] > 0 for r in columns.coverage.values())


async def test_coverage_survives_a_restart(check: Any) -> None:
    plan = make_plan([], salt="s")
    first, _ = check(plan)
    await first.on_traces([("p", trace("q", "a", trace_id="1" * 32))])
    second, columns = check(plan)
    await second.on_traces([("p", trace("q", "a", trace_id="2" * 32))])
    assert columns.covered("empty_output")["scored"] == 2


async def test_a_scorecard_is_for_the_traces_it_names(check: Any) -> None:
    metric = {"name": "no_refunds", "type": "policy", "deny": ["refund"]}
    flow, _ = check(make_plan([card(metric, where="scenario = 'support'")], salt="s"))
    rows = await flow.on_traces(
        [
            ("p", trace("q", "a refund", trace_id="1" * 32, context=Context(scenario="support"))),
            ("p", trace("q", "a refund", trace_id="2" * 32, context=Context(scenario="sales"))),
            ("p", trace("q", "a refund", trace_id="3" * 32)),
        ]
    )
    found = [[s.passed for s in r.checks if s.scorer == "no_refunds"] for r in rows]
    assert found == [[False], [], []]
    assert [r.trace.error_class for r in rows] == ["invalid_output", None, None]


async def test_when_the_store_is_down_nothing_is_queued_or_counted(check: Any, records: Records) -> None:
    flow, columns = check(make_plan([card(JUDGE, rate=1.0)], salt="s"))
    columns.fail["write_traces"] = 1
    with pytest.raises(StoreUnavailable):
        await flow.on_traces([("p", trace("q", "a"))])
    assert records.read_now(lambda c: jobs.depth(c, NOW)).waiting == 0 and columns.coverage == {}
    await flow.on_traces([("p", trace("q", "a"))])
    assert columns.covered("quality")["eligible"] == 1


async def test_listeners_hear_of_scores_and_a_broken_one_harms_nothing(check: Any) -> None:
    heard: list[tuple[str, str, int]] = []

    async def broken(_scored: Sequence[tuple[str, str, Sequence[Score]]]) -> None:
        raise RuntimeError("listener")

    async def listen(scored: Sequence[tuple[str, str, Sequence[Score]]]) -> None:
        heard.extend((project, trace_id, len(scores)) for project, trace_id, scores in scored)

    flow, _ = check(make_plan([], salt="s"), hooks=[broken, listen])
    await flow.on_traces([("p", trace("q", "a"))])
    assert heard[0][:2] == ("p", "a" * 32) and heard[0][2] > 5 and flow.counts.hook_errors == 1


def custom(function: str, **more: Any) -> CustomScorer:
    return CustomScorer(name=function, function=f"tests.unit.pipeline.users:{function}", **more)


async def test_a_users_scorer_that_hangs_crashes_or_eats_memory_stops_nobody_else(check: Any) -> None:
    clock = [0]
    isolation = Isolation(lambda: clock[0], memory=4 << 30, strikes=2)
    own = [custom("naughty", timeout_s=0.5), custom("good")]
    flow, columns = check(make_plan([], salt="s", own=own), run=partial(run, isolate=isolation))
    try:
        texts = ["fine", "not a number", "raise", "eat", "hang", "fine", "crash", "fine", "good"]
        said: list[Any] = []
        for i, text in enumerate(texts):
            (row,) = await flow.on_traces([("p", trace("q", text, trace_id=f"{i:032x}"))])
            by_name = {s.scorer: s.value for s in row.checks}
            assert by_name["good"] == float(text == "good") and by_name["empty_output"] == 1.0
            said.append(by_name.get("naughty"))
        assert said == [0.5, None, None, None, None, 0.5, None, 0.5, 0.5]
        covered = columns.covered("naughty")
        assert covered["eligible"] == covered["scored"] + covered["failed"] == 9 and covered["failed"] == 5
    finally:
        isolation.close()


def test_an_async_function_is_refused_as_a_scorer_with_what_to_write_instead() -> None:
    with pytest.raises(ValueError, match="'asyncio:sleep' is async; write a plain function"):
        resolve("asyncio:sleep")


def test_what_a_users_scorer_prints_is_no_output_of_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    isolation = Isolation(lambda: 0)
    try:
        (said,) = isolation(
            CustomScorer(name="loud", function="builtins:print"), [Subject(trace("q", "a word"))]
        )
        assert "returned nothing" in said.reason  # type: ignore[operator]
    finally:
        isolation.close()
    printed = capfd.readouterr()
    assert "a word" in printed.err and not printed.out


async def test_why_a_users_scorer_fails_is_logged_once_in_a_while_without_what_the_trace_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0]
    isolation = Isolation(lambda: now[0])
    batch = [Subject(trace("q", text)) for text in ("fine", "raise", "not a number")]
    try:
        for _ in range(3):
            isolation(custom("naughty"), batch)
        (said,) = [r.getMessage() for r in caplog.records]
        assert "naughty failed on 2 of 3: " in said and "raise" not in said.replace("raised", "")
        now[0] += 61 * 10**9
        isolation(custom("naughty"), batch)
        assert len(caplog.records) == 2
    finally:
        isolation.close()


async def test_a_trace_that_hangs_or_crashes_a_users_scorer_costs_its_neighbours_nothing() -> None:
    now = [0]
    isolation = Isolation(lambda: now[0], patience_s=2.4)
    scorer = custom("naughty", timeout_s=0.5)
    batch = [Subject(trace("q", text)) for text in ("fine", "hang", "fine", "crash", "fine")]
    try:
        said = isolation(scorer, batch)
        assert [getattr(o, "value", None) for o in said] == [0.5, None, 0.5, None, 0.5]
        assert "no answer within" in said[1].reason and "its process died" in said[3].reason  # type: ignore[union-attr]
        # The good ones do not make up for it: two more deadlines, and the scorer rests.
        isolation(scorer, batch[:3])
        assert isolation.resting() == {"naughty": False}
        isolation(scorer, batch[:2])
        assert "suspended" in isolation(scorer, batch[:1])[0].reason  # type: ignore[union-attr]
        assert isolation.resting() == {"naughty": True}
        # Of another that was not waited for in vain nothing is kept back; and a minute later all is forgotten.
        assert getattr(isolation(custom("good"), batch[:1])[0], "value", None) is not None
        now[0] += 61 * 10**9
        assert getattr(isolation(scorer, batch[:1])[0], "value", None) == 0.5
    finally:
        isolation.close()


async def test_scorers_that_hang_on_everything_hold_the_checks_up_for_a_bounded_time() -> None:
    now = [0]
    isolation = Isolation(lambda: now[0], patience_s=1.5)
    hanging = [custom("naughty", timeout_s=0.5, floor=float(n)) for n in range(5)]
    batch = [Subject(trace("q", "hang"))] * 50
    try:
        said = [isolation(scorer, batch) for scorer in hanging]
        waited = sum("no answer within" in o.reason for outcomes in said for o in outcomes)  # type: ignore[union-attr]
        # The first is asked twice, the second until the patience with all is at its end, the others once each.
        assert waited == 2 + 1 + 1 + 1 + 1
        now[0] += 61 * 10**9
        again = isolation(hanging[0], batch)
        assert sum("no answer within" in o.reason for o in again) == 1  # type: ignore[union-attr]
    finally:
        isolation.close()


async def test_a_users_scorer_that_keeps_hanging_rests(check: Any) -> None:
    clock = [0]
    isolation = Isolation(lambda: clock[0], strikes=1, rest_ns=100)
    scorer = custom("naughty", timeout_s=0.3)
    try:
        first = isolation(scorer, [Subject(trace("q", "hang"))])[0]
        second = isolation(scorer, [Subject(trace("q", "fine"))])[0]
        clock[0] = 200
        third = isolation(scorer, [Subject(trace("q", "fine"))])[0]
        assert "no answer within" in str(first.reason) and "suspended" in str(second.reason)
        assert getattr(third, "value", None) == 0.5
    finally:
        isolation.close()


CONDITIONS = [
    ("scenario = 'support'", True),
    ("scenario != 'support'", False),
    ("scenario in ('a', 'support') and not region = 'us'", True),
    ("region is null", False),
    ("release is null", True),
    ("release = 'x' or cost > 0.01", True),
    ("release = 'x'", False),
    ("not release = 'x'", False),
    ("duration_ms >= 20000 and spans = 1", True),
    ("input_text like '%order%'", True),
    ("input_text like 'order%'", False),
    ("cost > '1'", False),
]


@pytest.mark.parametrize(("text", "expected"), CONDITIONS)
def test_conditions_over_traces(text: str, expected: bool) -> None:
    given = trace("my order", "a", context=Context(scenario="support", region="eu"), cost=0.02)
    assert compile_condition(text)(given) is expected


@pytest.mark.parametrize(
    ("text", "said"),
    [("colour = 'x'", "unknown column"), ("1 +", "not a condition"), ("sleep(3) = 1", "not understood")],
)
def test_a_condition_that_is_not_understood_says_what_is(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compile_condition(text)


def test_a_wrong_scorecard_says_which_metric_and_key() -> None:
    with pytest.raises(ValueError, match=r"scorecard c: metric x: max: .*int is expected"):
        make_plan([card({"name": "x", "type": "length", "max": "3"})], salt="s")


@pytest.mark.parametrize(
    ("rule", "decided", "kept"), [(None, False, 0.2), (0.5, False, 0.1), (0.2, True, 0.2)]
)
async def test_a_trace_exported_from_a_store_that_kept_a_share_stands_for_as_many_where_it_is_imported(
    check: Any, rule: float | None, decided: bool, kept: float
) -> None:
    """Also under a rule of its own there; in the store it came from, what was decided stays as it is."""
    trace_id = next(i for n in range(99) if decide(Keeping(rule or 1), "s", i := f"{n:032x}", []).kept)
    given = trace("Where is my order?", "Your order is on its way to Hamburg.", trace_id=trace_id)
    sent = RawSpan(
        trace_id,
        "1" * 16,
        None,
        "chat",
        "client",
        1,
        2,
        "ok",
        None,
        {"sampling.probability": 0.5},
        [],
        [],
        {},
    )
    (told,) = _weighed([sent], 0.1)
    assert told == bring([sent], 0.2)[0] and told != sent, "of sampling upstream the span says itself"
    given.spans[0].raw = told
    more = {} if rule is None else {"keeping": lambda: Keeping(rule, frozenset()), "salt": "s"}
    flow, columns = check(make_plan([], salt="s"), **more)

    async def named(name: str, project: str, **params: Any) -> Table:
        return Table([], [[trace_id, 1, 0.2, "routine", 1]] if decided and name == "keeping_decided" else [])

    async def decide_keeping(rows: Sequence[Any]) -> None:
        assert [row.probability for row in rows] == [kept]

    columns.named, columns.decide_keeping = named, decide_keeping
    (row,) = await flow.on_traces([("p", given)], read_ns=5)
    assert row.kept == pytest.approx(kept)


@pytest.mark.parametrize(
    ("by", "ago", "back"),
    [("api", 60, True), ("spans", 60, True), ("spans", 61, False), (None, 60, False)],
)
async def test_what_a_user_says_in_time_of_a_trace_not_kept_brings_it_back_and_its_judges_count_it(
    check: Any, by: str | None, ago: int, back: bool
) -> None:
    given = trace("Where is my order?", "It is on its way.")
    rule = Keeping(0.2, wait_ns=60 * 10**9)
    plan = make_plan([card(JUDGE, always=("thumbs_down",))], salt="s")
    flow, columns = check(plan, keeping=lambda: rule, salt="s")
    decided: list[KeepingRow] = []

    async def named(name: str, project: str, **params: Any) -> Table:
        rows = [[given.trace_id, 0, 0.2, "routine", NOW - ago * 10**9]]
        return Table([], rows if name == "keeping_decided" else [])

    async def decide_keeping(rows: Sequence[KeepingRow]) -> None:
        decided.extend(rows)

    columns.named, columns.decide_keeping = named, decide_keeping
    if by == "api":
        word = Score("p", given.trace_id, "", "thumbs", "1", "user", 1, NOW, value=0.0, passed=False)
        await columns.write_scores([word])
    elif by == "spans":
        given.spans[0].evaluations = [Evaluation("thumbs", 0.0, passed=False, source="user")]
    rows = await flow.on_traces([("p", given)], read_ns=5)
    assert [(r.kept, r.again) for r in rows] == ([(1.0, True)] if back else [])
    assert [(d.kept, d.probability, d.reason) for d in decided] == ([(True, 1.0, "flagged")] if back else [])
    judged = [r for r in columns.coverage.values() if r["scorer"] == "quality"]
    assert [(n["eligible"], n["selected"]) for n in judged] == ([(1, 1)] if back else [])
