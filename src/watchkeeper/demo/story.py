"""The story the demo tells: two good weeks, one harmless-looking prompt edit, and what catches it."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.cli.errors import CliError
from watchkeeper.cli.gate import add_arguments
from watchkeeper.cli.gate import main as gate_command
from watchkeeper.demo.api import Api, DemoFailed
from watchkeeper.demo.assistant import answer_v1, answer_v2, topic_of
from watchkeeper.demo.console import Console
from watchkeeper.demo.knowledge import EVASIONS
from watchkeeper.demo.receiver import Receiver
from watchkeeper.demo.traffic import Mix, Traffic
from watchkeeper.model.times import HOUR

SCENARIO = "customer-support"
DATASET = "support-regressions"
MONITOR = "answer-relevance-down"
STEPS = "has_steps"
STEP = "1. "
SCORER = "answer_relevance"
CUT = 6.0
LABELS = 60
RED = 0.02


@dataclass(frozen=True)
class Pace:
    """How much is played: questions in a busy hour, hours at a time in the good weeks and once the clock matters, golden cases."""

    per_hour: float
    chunk: int
    stride: int
    golden: int


FULL = Pace(per_hour=24.0, chunk=48, stride=1, golden=90)
FAST = Pace(per_hour=11.0, chunk=84, stride=3, golden=70)
BASELINE_HOURS = 14 * 24
SHARE_V2 = 0.5
MAX_HOURS_TO_ALERT = 36
MAX_HOURS_TO_RESOLVE = 36
HOURS_IN_ALL = BASELINE_HOURS + MAX_HOURS_TO_ALERT + MAX_HOURS_TO_RESOLVE


def uptime(rows: list[dict[str, Any]]) -> str:
    """What a dashboard of errors and latency says of the two versions, the former first."""
    errors = "all green" if max(row["failed"] for row in rows) < RED else "some errors"
    return errors + (", even faster" if rows[-1]["p95"] < rows[0]["p95"] else ", slower")


def _satisfied(asked: str, said: str) -> bool:
    """What a person says of an answer: steps solve it; a sentence alone does where the account was looked up."""
    return said not in EVASIONS and (STEP in said or topic_of(asked).tool is not None)


@dataclass
class Stage:
    """What the story needs of the running server: its clock can be set, and it can be asked to catch up."""

    api: Api
    receiver: Receiver
    set_clock: Callable[[int], None]
    catch_up: Callable[[], Awaitable[None]]


class Story:
    """Plays the story and checks that it comes out as told; raises `DemoFailed` where it does not."""

    def __init__(self, stage: Stage, console: Console, pace: Pace, start_ns: int, seed: int = 7) -> None:
        self.stage, self.console, self.pace = stage, console, pace
        self.now = start_ns
        self.start = start_ns
        self.traffic = Traffic(stage.api.url, None, seed, pace.per_hour)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(self.stage.api.call, method, path, body)

    async def sql(self, query: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.stage.api.sql, query)

    async def play_hours(self, hours: int, mix: Mix) -> None:
        """Send `hours` of traffic and let the server digest it, its clock at the end of them: nothing that arrives may
        seem to come from the future."""
        self.stage.set_clock(self.now + hours * HOUR)
        for _ in range(hours):
            await asyncio.to_thread(self.traffic.hour, self.now, mix)
            self.now += HOUR
        await asyncio.to_thread(self.traffic.flush)
        await self.stage.catch_up()

    async def deploy(self, version: str, note: str) -> None:
        await self.call(
            "POST", "/api/deploys", {"name": "support-answer prompt", "version": version, "note": note}
        )

    async def alerts(self) -> list[dict[str, Any]]:
        """Every alert there has been, not only those of the monitor the story is about."""
        answer = await self.call("GET", "/api/alerts")
        return answer["alerts"] if isinstance(answer, dict) else answer

    async def play(self) -> None:
        """The whole story, in order."""
        await self.two_good_weeks()
        await self.calibrate()
        await self.the_edit()
        alert = await self.until_it_fires()
        await self.what_the_alert_says(alert)
        await self.review(alert)
        await self.gate()
        await self.rollback(alert)
        await self.since_then()

    async def two_good_weeks(self) -> None:
        self.console.say(
            "A support assistant answers questions with prompt v1. Two ordinary weeks pass …", self.now
        )
        mix = Mix(0.0, "2026.11.1")
        await self.deploy("v1", "first version")
        for done in range(0, BASELINE_HOURS, self.pace.chunk):
            await self.play_hours(self.pace.chunk, mix)
            self.console.bar("two weeks", done + self.pace.chunk, BASELINE_HOURS)
        (facts,) = await self.sql(
            "select count() as traces, avg(answer_relevance) as relevance, avg(has_steps) as steps,"
            " quantile(0.95)(duration_ms) as p95, countIf(errors > 0) / count() as failed from traces"
        )
        self.console.say(
            f"{facts['traces']:,} traces: relevance {facts['relevance']:.1f}, {facts['steps']:.0%} list the steps,"
            f" p95 {facts['p95'] / 1000:.1f} s, {facts['failed']:.1%} failed. No alert.",
            self.now,
            "✓",
        )
        fired = [a for a in await self.alerts() if a.get("fired_ns") or a["state"] == "firing"]
        if fired:
            raise DemoFailed(f"a false alarm in two normal weeks: {fired[0]['summary']}")

    async def calibrate(self) -> None:
        """Only a scorer that agrees with people may page: somebody labels a blind sample of the two weeks."""
        path = f"/api/scorers/{SCORER}/calibration"
        drawn = await self.call("POST", f"{path}/sample", {"labels": LABELS, "days": 14, "cut": CUT})
        queue = await self.call("GET", "/api/reviews?limit=1000")
        mine = {i["trace_id"]: i["id"] for i in queue if i["source"] == f"calibration:{SCORER}"}
        if len(mine) != drawn["drawn"]:
            raise DemoFailed(f"{len(mine)} of {drawn['drawn']} drawn traces wait in review")
        ids = ", ".join(f"'{trace_id}'" for trace_id in mine)
        rows = await self.sql(
            f"select trace_id, input_text as input, output_text as output from traces where trace_id in ({ids})"
        )
        for row in rows:
            verdict = "good" if _satisfied(str(row["input"]), str(row["output"])) else "bad"
            await self.call("POST", f"/api/reviews/{mine[row['trace_id']]}/label", {"verdict": verdict})
        made = await self.call("POST", path, {})
        if made["status"] != "calibrated":
            raise DemoFailed(f"{SCORER} does not agree with people: {'; '.join(made['failed'])}")
        agreement, kappa = made["agreement"], made["kappa"]
        self.console.say(
            f"{SCORER} is a model, so people check it first: {made['n']} answers labelled blind, agreement"
            f" {agreement['value']:.0%} ({agreement['low']:.0%} to {agreement['high']:.0%}), kappa {kappa['value']:.2f}."
            " It may page now.",
            self.now,
            "✓",
        )

    async def the_edit(self) -> None:
        await self.deploy("v2", "be more concise; half of the traffic")
        self.console.say("Deploy: prompt v2, “be more concise”, for half of the traffic.", self.now)

    async def until_it_fires(self) -> dict[str, Any]:
        mix = Mix(SHARE_V2, "2026.11.2")
        since = self.now
        played = 0
        while played < MAX_HOURS_TO_ALERT:
            await self.play_hours(self.pace.stride, mix)
            played += self.pace.stride
            firing = [a for a in await self.alerts() if a["state"] == "firing"]
            if firing:
                await self._nothing_else_moved(since)
                self.console.say(f"ALERT after {played} h: {firing[0]['summary']}", self.now, "!")
                return firing[0]
        raise DemoFailed(f"no alert within {MAX_HOURS_TO_ALERT} hours of the change")

    async def _nothing_else_moved(self, since: int) -> None:
        rows = await self.sql(
            "select prompt_version, count() as n, quantile(0.95)(duration_ms) as p95, countIf(errors > 0) / count() as"
            " failed, avg(answer_relevance) as relevance, avg(has_steps) as steps, avg(user_rating) as rating"
            f" from traces where time >= fromUnixTimestamp64Nano({since}) group by prompt_version order by prompt_version"
        )
        self.console.say(f"What an uptime dashboard shows: {uptime(rows)}.", self.now, "✓")
        for row in rows:
            self.console.detail(
                f"{row['prompt_version']}: {row['n']} traces, p95 {row['p95'] / 1000:.1f} s, {row['failed']:.1%} failed"
            )
        self.console.say("What the answers were like:", self.now)
        for row in rows:
            rating = "–" if row["rating"] is None else f"{row['rating']:.1f}"
            self.console.detail(
                f"{row['prompt_version']}: relevance {row['relevance']:.1f}, steps {row['steps']:.0%}, rating {rating}"
            )

    async def what_the_alert_says(self, alert: dict[str, Any]) -> None:
        if alert["cohort"].get("prompt_version") != "v2":
            raise DemoFailed(f"the alert is for {alert['cohort']}, not for prompt v2")
        cohort = cohort_words(tuple(alert["cohort"].items()))
        self.console.detail(f"cohort: {cohort} · owner: {alert['owner']} · runbook: {alert['runbook']}")
        for deploy in alert.get("deploys", [])[:2]:
            self.console.detail(f"first suspect: deploy {deploy['name']} {deploy['version']}")
        arrived = await asyncio.to_thread(self.stage.receiver.wait_for, 1, 20.0)
        if not arrived:
            raise DemoFailed("the on-call webhook never arrived")
        told = len(self.stage.receiver.messages)
        if told != 1:
            raise DemoFailed(f"on-call was told {told} times about one alert")
        await self.call("POST", f"/api/alerts/{alert['id']}/ack", {})
        self.console.detail("on-call was told once, signature verified, and acknowledged")

    async def review(self, alert: dict[str, Any]) -> None:
        queue = await self.call("GET", "/api/reviews?limit=200")
        mine = [i for i in queue if i.get("alert_id") == alert["id"]]
        if not mine:
            raise DemoFailed("the alert opened no reviews")
        self.console.say(f"{len(mine)} worst traces wait in review; a person reads them.", self.now)
        item, trace = await self._a_case_v1_gets_right(mine)
        expected = str((await asyncio.to_thread(answer_v1, trace["input"]))["output"])
        await self.call(
            "POST",
            f"/api/reviews/{item['id']}/label",
            {
                "verdict": "bad",
                "taxonomy": "no resolution steps",
                "severity": "high",
                "expected_output": expected,
                "comment": "Friendly, but the customer still cannot solve the problem.",
            },
        )
        self.console.detail(f"“{trace['input'][:70]}” → “{trace['output'][:70]}”")
        made = await self.call(
            "POST",
            f"/api/datasets/{DATASET}/promote",
            {"trace_id": item["trace_id"], "owner": "support-ml", "note": "from the relevance alert"},
        )
        await self._golden()
        self.console.say(
            f"Labelled “no resolution steps”, then made a test in one action: {DATASET}, case {made['case_id']}.",
            self.now,
            "✓",
        )

    async def _a_case_v1_gets_right(
        self, items: list[dict[str, Any]]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The first reviewed trace whose question the old prompt answers well: the regression, not a hard question."""
        found: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for item in items:
            rows = await self.sql(
                f"select input_text as input, output_text as output from traces where trace_id = '{item['trace_id']}'"
            )
            if not rows:
                continue
            found.append((item, rows[0]))
            listed = [STEP in str(f(rows[0]["input"])["output"]) for f in (answer_v1, answer_v2)]
            if listed == [True, False]:
                return item, rows[0]
        for item, row in found:
            if STEP in str(answer_v1(row["input"])["output"]):
                return item, row
        raise DemoFailed("none of the worst traces is a question that v1 answers well")

    async def _golden(self) -> None:
        """Good answers from before the change, one a question, become the golden cases."""
        rows = await self.sql(
            "select any(trace_id) as trace_id, input_text as input, any(output_text) as output from traces where"
            f" prompt_version = 'v1' and has_steps = 1 and answer_relevance > 5 group by input_text order by input_text limit {self.pace.golden}"
        )
        cases = [
            {
                "id": f"golden_{r['trace_id'][:16]}",
                "input": {"text": r["input"]},
                "expected": r["output"],
                "scenario": SCENARIO,
                "trace_id": r["trace_id"],
                "owner": "support-ml",
                "split": "golden",
            }
            for r in rows
        ]
        await self.call(
            "POST",
            f"/api/datasets/{DATASET}/cases",
            {"add": cases, "note": "golden answers of v1", "duplicates": "keep"},
        )

    def _gate(self, target: str, *more: str) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        words = [
            "--dataset",
            DATASET,
            "--target",
            f"watchkeeper.demo.assistant:{target}",
            "--server",
            self.stage.api.url,
        ]
        try:
            return gate_command(parser.parse_args([*words, "--semantic", STEPS, *more]))
        except CliError as error:
            raise DemoFailed(f"the gate could not run: {error}") from error

    async def gate(self) -> None:
        """The next release must pass what production saw: v1 sets the baseline, v2 fails, the reverted prompt passes."""
        self.console.say("The gate runs the dataset with the same scorers that watch production.", self.now)
        await asyncio.to_thread(self._gate, "answer_v1", "--save", "v1-in-production", "--quiet")
        failed = await asyncio.to_thread(
            self._gate, "answer_v2", "--baseline", "v1-in-production", "--save", "prompt-v2"
        )
        if failed != 1:
            raise DemoFailed(f"the gate let prompt v2 through (exit {failed})")
        self.console.say("Prompt v2 would have been stopped (exit 1).", self.now, "✓")
        passed = await asyncio.to_thread(
            self._gate, "answer_v1", "--baseline", "v1-in-production", "--save", "prompt-v2-reverted"
        )
        if passed != 0:
            raise DemoFailed(f"the gate refused the reverted prompt (exit {passed})")
        self.console.say("The reverted prompt passes (exit 0).", self.now, "✓")

    async def rollback(self, alert: dict[str, Any]) -> None:
        await self.deploy("v1", "rollback of v2")
        self.console.say("Deploy: prompt v1 again, for everyone.", self.now)
        mix = Mix(0.0, "2026.11.3")
        played = 0
        while played < MAX_HOURS_TO_RESOLVE:
            await self.play_hours(self.pace.stride, mix)
            played += self.pace.stride
            (mine,) = [a for a in await self.alerts() if a["id"] == alert["id"]]
            if mine["state"] == "resolved":
                self.console.say(f"RESOLVED {played} h after the rollback.", self.now, "✓")
                break
        else:
            raise DemoFailed(f"the alert did not resolve within {MAX_HOURS_TO_RESOLVE} hours of the rollback")
        fired = [a for a in await self.alerts() if a.get("fired_ns")]
        if len(fired) != 1:
            raise DemoFailed(f"{len(fired)} alerts for one incident: {[a['summary'] for a in fired]}")

    async def since_then(self) -> None:
        """Play on to the present, so that the pages show now."""
        left = int((self.start + HOURS_IN_ALL * HOUR - self.now) // HOUR)
        mix = Mix(0.0, "2026.11.3")
        for done in range(0, left, 24):
            await self.play_hours(min(24, left - done), mix)
        fired = [a for a in await self.alerts() if a.get("fired_ns")]
        if len(fired) != 1:
            raise DemoFailed(f"the days since were not quiet: {[a['summary'] for a in fired]}")
        events = [str(m.get("event")) for m in self.stage.receiver.messages]
        self.console.say(
            f"The days since: quiet. {self.traffic.turns:,} conversations, {self.traffic.spans:,} spans, "
            f"one alert in all; on-call heard: {', '.join(events)}.",
            self.now,
            "✓",
        )
