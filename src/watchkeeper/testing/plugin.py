"""`pytest --watchkeeper`: a dataset's cases as parametrised tests, judged by the scorers that watch production.

    @pytest.mark.watchkeeper(dataset="tests/golden.jsonl", repeats=3)
    def test_support(watchkeeper_case, watchkeeper_judge):
        watchkeeper_judge(myapp.answer)

One test a case. `watchkeeper_judge(answer)` takes a text, a dictionary with `output`, or the target itself (asked
`repeats` times); a check that fails on every repeat fails the test, repeats that disagree set the case aside as skipped.
The session ends with pass, fail, or not enough evidence.
"""

import json
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.testing import cases
from watchkeeper.testing.judges import Judged, Local, Remote, Scores, waited
from watchkeeper.testing.server import JudgeError, Server
from watchkeeper.testing.targets import How, TargetError, run
from watchkeeper.testing.targets.answers import answer_of, excused, failed

MARKER = "watchkeeper(dataset, target=None, split=None, repeats=1, semantic=(), timeout=60, retries=2): one test a case"
WORDS = {"pass": "PASS", "fail": "FAIL", "not_enough_evidence": "NOT ENOUGH EVIDENCE"}
NOT_RUN = "not run in this session"
_ALLOWED = {"dataset", "target", "split", "repeats", "semantic", "timeout", "retries"}
STATE = pytest.StashKey["State"]()
RAN = pytest.StashKey["Ran"]()


@dataclass
class Ran:
    """What one test asked: its marker's arguments, case and answers."""

    given: dict[str, Any]
    case: dict[str, Any]
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass
class Suite:
    """One dataset of the session: who judges it, how it is asked, the answers so far."""

    judged: Judged
    how: How
    target: Any
    semantic: frozenset[str]
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass
class State:
    """The session."""

    config: pytest.Config
    suites: dict[str, Suite] = field(default_factory=dict[str, Suite])
    verdicts: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])

    def suite(self, given: dict[str, Any]) -> tuple[str, Suite]:
        """The suite a marker asks for, made once. Raises `JudgeError`."""
        key = json.dumps({k: _plain(v) for k, v in given.items()}, sort_keys=True)
        if key not in self.suites:
            self.suites[key] = self._made(given)
        return key, self.suites[key]

    def _made(self, given: dict[str, Any]) -> Suite:
        unknown = sorted(given.keys() - _ALLOWED)
        if unknown or not given.get("dataset"):
            wrong = f"{unknown[0]} is not known here" if unknown else "dataset is missing"
            raise JudgeError(f"the marker watchkeeper: {wrong}; it takes {', '.join(sorted(_ALLOWED))}")
        semantic = tuple(given.get("semantic", ()))
        judged = self._judged(str(given["dataset"]), {"semantic": list(semantic)})
        split = given.get("split")
        if split is not None:
            judged.cases = [c for c in judged.cases if c.get("split", "regression") == split]
            judged.split = str(split)
        if not judged.cases:
            raise JudgeError(
                f"dataset {given['dataset']} has no cases" + (f" of split {split}" if split else "")
            )
        how = How(
            repeats=max(1, int(given.get("repeats", 1))),
            timeout=float(given.get("timeout", 60.0)),
            retries=int(given.get("retries", 2)),
            resume=False,
        )
        return Suite(judged, how, given.get("target"), frozenset(semantic))

    def _judged(self, dataset: str, settings: dict[str, Any]) -> Judged:
        option = self.config.getoption
        baseline, save = option("watchkeeper_baseline"), option("watchkeeper_save")
        if dataset.lower().endswith(cases.SUFFIXES):
            path = Path(dataset) if Path(dataset).is_absolute() else self.config.rootpath / dataset
            chosen = self.config.getini("watchkeeper_config")
            config = self.config.rootpath / chosen if chosen else None
            return Local(
                path, config, settings, Path(baseline) if baseline else None, Path(save) if save else None
            )
        server = Server(
            option("watchkeeper_server") or os.environ.get("WATCHKEEPER_ENDPOINT") or "http://127.0.0.1:4318",
            os.environ.get("WATCHKEEPER_API_KEY"),
            os.environ.get("WATCHKEEPER_PROJECT"),
        )
        return Remote(server, dataset, settings, baseline, save)


def _plain(value: Any) -> Any:
    """An argument of the marker by its value or, for a function, by its name: the same in every process."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in sorted(value, key=str)]
    if callable(value):
        return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', repr(value))}"
    return value


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options; the plugin does nothing without the first."""
    group = parser.getgroup("watchkeeper", "cases of a dataset as tests, judged by Watchkeeper's scorers")
    group.addoption("--watchkeeper", action="store_true", help="run the tests marked watchkeeper")
    group.addoption(
        "--watchkeeper-server", metavar="URL", help="the server of named datasets (WATCHKEEPER_ENDPOINT)"
    )
    group.addoption(
        "--watchkeeper-baseline",
        metavar="NAME|FILE",
        help="compare with this experiment, or with a saved file",
    )
    group.addoption(
        "--watchkeeper-save", metavar="NAME|FILE", help="name this experiment, or write it to a file"
    )
    group.addoption(
        "--watchkeeper-strict", action="store_true", help="not enough evidence fails the session, too"
    )
    parser.addini(
        "watchkeeper_config", "scorecards that judge dataset files, e.g. watchkeeper.yaml", default=""
    )


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker always, and keep a session's state when asked to run."""
    config.addinivalue_line("markers", MARKER)
    if config.getoption("watchkeeper"):
        config.stash[STATE] = State(config)
        if not hasattr(
            config, "workerinput"
        ):  # a worker of xdist tells its reports to the process that started it
            config.pluginmanager.register(Collector(config.stash[STATE]), "watchkeeper-collector")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case for every marked test."""
    marker = metafunc.definition.get_closest_marker("watchkeeper")
    if marker is None:
        return
    if "watchkeeper_case" not in metafunc.fixturenames:
        raise pytest.Collector.CollectError(
            f"{metafunc.definition.nodeid} is marked watchkeeper but does not use watchkeeper_case"
        )
    state = metafunc.config.stash.get(STATE, None)
    if state is None:
        skip = pytest.mark.skip(reason="pass --watchkeeper to run it")
        metafunc.parametrize(
            "watchkeeper_case", [pytest.param(None, marks=skip, id="not-asked")], indirect=True
        )
        return
    try:
        wanted = {**dict(zip(("dataset", "target"), marker.args, strict=False)), **marker.kwargs}
        _, suite = state.suite(wanted)
    except (JudgeError, TargetError) as error:
        raise pytest.Collector.CollectError(f"watchkeeper: {error}") from None
    given = [pytest.param((wanted, case), id=str(case["id"])) for case in suite.judged.cases]
    metafunc.parametrize("watchkeeper_case", given, indirect=True)


@pytest.fixture
def watchkeeper_case(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The case of this test as it is stored: `id`, `input`, `context`, `expected` and more."""
    if not hasattr(request, "param"):
        pytest.fail("watchkeeper_case needs the marker: @pytest.mark.watchkeeper(dataset=…)", pytrace=False)
    given, case = request.param
    request.node.stash[RAN] = Ran(given, case)
    return dict(case)


@pytest.fixture
def watchkeeper_judge(
    request: pytest.FixtureRequest, watchkeeper_case: dict[str, Any]
) -> Callable[..., list[dict[str, Any]]]:
    """Judge an answer, or ask a target and judge that; returns the answers. Without an argument the marker's target."""
    ran: Ran = request.node.stash[RAN]
    _, suite = request.config.stash[STATE].suite(ran.given)

    def judge(answer: Any = None) -> list[dict[str, Any]]:
        given = suite.target if answer is None else answer
        if given is None:
            raise pytest.UsageError("watchkeeper_judge needs an answer, or a target in the marker")
        if callable(given) or (isinstance(given, str) and answer is None):
            try:
                answers = [dict(a) for a in waited(run(given, [ran.case], suite.how))]
            except TargetError as error:
                raise pytest.UsageError(f"watchkeeper: {error}") from None
        else:
            answers = [answer_of(ran.case, given, None)]
        for repeat, made in enumerate(answers):
            made["repeat"] = repeat + len(ran.answers)
        ran.answers += answers
        _decide(suite, answers)
        return answers

    return judge


def _decide(suite: Suite, answers: Sequence[dict[str, Any]]) -> None:
    """Fail the test for what fails on every repeat; set it aside when repeats disagree."""
    __tracebackhide__ = True
    errors = [a["error"] for a in answers if a.get("error")]
    if errors:
        pytest.fail(_printable(f"the target failed: {errors[0]}"), pytrace=False)
    scored: list[Scores] = suite.judged.score(answers)
    # What is compared by margin is decided over all cases, at the end.
    soft = {n for s in scored for n, told in s.items() if told.get("kind") in ("judge", "classifier")}
    names = sorted({n for s in scored for n in s} - suite.semantic - soft)
    wrong: list[str] = []
    unsteady: list[str] = []
    for name in names:
        told = [s[name] for s in scored if name in s and s[name].get("passed") is not None]
        bad = [t for t in told if t["passed"] is False]
        if bad and len(bad) == len(told):
            wrong.append(f"{name}: {bad[0].get('reason') or 'failed'}")
        elif bad:
            unsteady.append(f"{name} fails {len(bad)} of {len(told)} times")
    if wrong:
        shown = str(answers[0].get("output"))[:300]
        pytest.fail(_printable("\n".join([*wrong, f"answer: {shown}"])), pytrace=False)
    if unsteady:
        pytest.skip(_printable(f"flaky, set aside: {'; '.join(unsteady)}"))


def _printable(text: str) -> str:
    """What a target said without what a terminal would act on."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the answers of every test; one that broke before it answered is the target's failure, not a lost case."""
    report = yield
    ran = item.stash.get(RAN, None)
    state = item.config.stash.get(STATE, None)
    if ran is None or state is None or call.when != "call":
        return report
    answers = ran.answers
    if not answers and report.failed:
        words = str(call.excinfo.value).splitlines() if call.excinfo else []
        answers = [
            failed(ran.case, f"the test failed before it answered: {words[0] if words else 'no reason'}")
        ]
    # Plain data only: xdist sends it from process to process.
    given = {k: v if isinstance(v, str | int | float) else _plain(v) for k, v in ran.given.items()}
    report.user_properties.append(
        ("watchkeeper", {"given": given, "answers": json.loads(json.dumps(answers, default=str))})
    )
    return report


class Collector:
    """Gathers the answers of this process's reports and, with xdist, of every worker's; says the verdict at the end."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.wrong: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the answers out of a report, before JUnit would write them down as properties."""
        for name, told in report.user_properties:
            if name == "watchkeeper" and isinstance(told, dict):
                _, suite = self.state.suite(told["given"])
                suite.answers += told["answers"]
        report.user_properties = [p for p in report.user_properties if p[0] != "watchkeeper"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge each dataset as a whole. A failed gate fails the session although every test passed."""
        for suite in self.state.suites.values():
            if not suite.answers:
                continue
            have = {a["case_id"] for a in suite.answers}
            unrun = [excused(c, NOT_RUN) for c in suite.judged.cases if c["id"] not in have]
            target = (
                suite.target if isinstance(suite.target, str) else getattr(suite.target, "__name__", "pytest")
            )
            try:
                made = suite.judged.verdict([*suite.answers, *unrun], target)
            except (JudgeError, OSError) as error:
                self.wrong = f"{suite.judged.name}: {error}"
                session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR
                continue
            self.state.verdicts.append((suite.judged.name, made))
            strict = self.state.config.getoption("watchkeeper_strict")
            bad = made["verdict"] == "fail" or (strict and made["verdict"] != "pass")
            if bad and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The three outcomes, a section a dataset."""
        for name, made in self.state.verdicts:
            terminalreporter.section(f"watchkeeper: {name}: {WORDS.get(made['verdict'], made['verdict'])}")
            terminalreporter.write_line(made["text"])
            if made["url"]:
                terminalreporter.write_line(f"  {made['url']}")
        if self.wrong:
            terminalreporter.section("watchkeeper: no verdict")
            terminalreporter.write_line(self.wrong)
