"""`watchkeeper test` and `watchkeeper backtest`: monitors and scorers over made-up data, and monitors over history."""

import argparse
import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

from watchkeeper.alerting.monitor import Monitor as Rule
from watchkeeper.cli.check import loaded
from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import BAD_INPUT, JUDGED_BAD, OK, CliError
from watchkeeper.cli.output import Progress
from watchkeeper.config.adapters import rules_of
from watchkeeper.config.models import Config
from watchkeeper.config.units import duration_text
from watchkeeper.model.numerals import counted
from watchkeeper.pipeline.isolate import Isolation
from watchkeeper.pipeline.monitor_tests import TestResult, fault_of, run_test
from watchkeeper.pipeline.scorer_tests import CannotTest, Proof, metrics_with_tests, prove

POLL_S = 0.5
_DURATIONS = ("window", "hold", "keep_firing", "renotify", "response_time")


def test(args: argparse.Namespace) -> int:
    """Run the own tests of every monitor, check and function; exit status 1 when one does not come out as expected."""
    args.allow_missing_env = True
    found = loaded(args)
    if found is None:
        return BAD_INPUT
    wanted = [(rule, one) for rule in rules_of(found.config) for one in rule.tests]
    for rule, one in wanted:
        # A test that cannot be run is a fault of the file, not of the monitor.
        if (fault := fault_of(one)) is not None:
            raise CliError(f"{args.config}: monitor {rule.name}: {fault}")
    proofs = _scorers(args, found.config)
    if not wanted and not proofs:
        raise CliError(
            f"{args.config}: nothing has tests; add some under monitors[].tests or a metric's tests"
        )
    bar = Progress(len(wanted), "testing")
    outcomes: list[tuple[str, TestResult | Proof]] = [(p.scorer, p) for p in proofs]
    for number, (rule, one) in enumerate(wanted):
        bar.at(number, rule.name)
        outcomes.append((rule.name, asyncio.run(run_test(rule, one, number + 1))))
    bar.end()
    for name, outcome in outcomes:
        mark = "ok  " if outcome.passed else "FAIL"
        print(f"{mark} {name}: {outcome.name}" + ("" if outcome.passed else f"\n     {outcome.message}"))
    failed = sum(not o.passed for _, o in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} tests passed")
    return JUDGED_BAD if failed else OK


def _scorers(args: argparse.Namespace, config: Config) -> list[Proof]:
    """The outcomes of the scorers' tests; users' functions run isolated, as they do live."""
    isolation = Isolation(time.monotonic_ns)
    try:
        return [p for metric, tests in metrics_with_tests(config) for p in prove(metric, tests, isolation)]
    except CannotTest as error:
        raise CliError(f"{args.config}: {error}") from None
    finally:
        isolation.close()


def as_written(rule: Rule) -> dict[str, Any]:
    """A monitor, also one of a pack or an objective, as JSON that the server reads back: durations as people write them."""
    made: dict[str, Any] = {
        "name": rule.name,
        "project": rule.project,
        "condition": rule.condition,
        "by": list(rule.by),
        "where": dict(rule.where),
        "severity": rule.severity,
        "owner": rule.owner,
        "runbook": rule.runbook,
        "notify": list(rule.routes),
        "min_n": rule.min_n,
        "no_data": rule.no_data,
    }
    if rule.description:
        made["description"] = rule.description
    for name in _DURATIONS:
        value = getattr(rule, name)
        if value is not None:
            made[name] = duration_text(value)
    return made


@contextlib.contextmanager
def _followed(client: Client) -> Generator[None]:
    """Show how far the backtest is that is asked for in here."""
    bar, done = Progress(1000, "replaying history"), threading.Event()

    def follow() -> None:
        while not done.wait(POLL_S):
            # A server that does not say, or is busy, shows no bar.
            with contextlib.suppress(CliError):
                share = client.call("GET", "/api/backtest")["share"]
                if share is not None and not done.is_set():
                    bar.at(round(1000 * share))

    watching = threading.Thread(target=follow, daemon=True)
    if bar.on:
        watching.start()
    try:
        yield
    finally:
        done.set()
        if bar.on:
            watching.join(2 * POLL_S)
        bar.end()


def backtest(args: argparse.Namespace) -> int:
    """Print when the monitors would have fired over the server's history."""
    args.allow_missing_env = True
    found = loaded(args)
    if found is None:
        return BAD_INPUT
    rules = rules_of(found.config)
    monitors = [m for m in rules if args.monitor in (None, m.name)]
    if not monitors:
        if not rules:
            raise CliError(f"{args.config}: there are no monitors in it; add some under monitors")
        raise CliError(
            f"{args.config}: there is no monitor {args.monitor!r}; it has {', '.join(m.name for m in rules)}"
        )
    client = Client.of(args)
    body = {"monitors": [as_written(m) for m in monitors], "since": args.since}
    with _followed(client):
        answer = client.call("POST", "/api/backtest", body)
    for alert in answer["alerts"]:
        cohort = ", ".join(f"{k}={v}" for k, v in alert["cohort"].items()) or "all traffic"
        until = alert["resolved"] or "still firing"
        print(f"{alert['fired']}  {alert['severity']:4}  {alert['monitor']}  ({cohort})  until {until}")
        if alert["summary"]:
            print(f"    {alert['summary']}")
    print(
        f"{counted(len(monitors), 'monitor')} over {answer['since']} to {answer['until']}: "
        f"{counted(len(answer['alerts']), 'alert')}",
        file=sys.stderr,
    )
    return OK
