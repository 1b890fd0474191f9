"""The watcher over seeded traffic: one alert per incident, none without, the same after any crash."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.pipeline.world import EPOCH, HOUR, Columns, Normal, Traffic, canary, steady
from watchkeeper.alerting.monitor import Monitor, capped
from watchkeeper.alerting.routing import Routes
from watchkeeper.model.alert import Alert, Deploy, Notification
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.pipeline.watching.steps import Settings
from watchkeeper.store.records import alerts, incidents, outbox, states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

START, STOP, END = 344, 372, 396


def relevance_down(**change: Any) -> Monitor:
    facts: dict[str, Any] = {
        "name": "relevance-down",
        "condition": "shift(relevance) = 'down'",
        "owner": "support-ml",
        "runbook": "runbooks/relevance.md",
        "by": ("prompt_version",),
        "routes": ("slack",),
        "renotify": None,
    }
    return Monitor(**(facts | change))


def filled(traffic: Traffic, hours: range, columns: Columns | None = None) -> Columns:
    made = columns if columns is not None else Columns()
    for h in hours:
        made.add(traffic.hour(h))
    return made


def at(hour: float) -> int:
    """When the tick that ends at this hour has been closed."""
    return EPOCH + round(hour * HOUR) + 600 * 10**9


def found(records: Records, project: str = "default") -> list[Alert]:
    return sorted(records.read_now(lambda c: alerts.find(c, project)), key=lambda a: a.since_ns)


def sent(records: Records) -> list[Notification]:
    rows = records.read_now(lambda c: outbox.find(c, "default"))
    return sorted((n for _, n in rows), key=lambda n: n.created_ns)


def hour_of(ns: int | None) -> float:
    assert ns is not None
    return (ns - EPOCH) / HOUR


async def test_a_worse_prompt_version_makes_one_alert_that_resolves_after_the_rollback(
    records: Records,
) -> None:
    columns = filled(Traffic(canary(START, STOP)), range(END))
    columns.deploys = [
        Deploy("default", "index", "7", EPOCH + 300 * HOUR),
        Deploy("default", "support-prompt", "v2", EPOCH + START * HOUR, "more concise"),
        Deploy("default", "support-prompt", "v1", EPOCH + STOP * HOUR, "rolled back"),
    ]
    columns.worst = [{"trace_id": "t9", "value": 1.0, "output_text": "No."}]
    asked: list[tuple[str, list[Any]]] = []
    watcher = Watcher(
        columns,  # type: ignore[arg-type]
        records,
        [relevance_down()],
        on_review=lambda _, alert, worst: asked.append((alert.id, [w["trace_id"] for w in worst])),
    )
    await watcher.tick(at(START + 10))
    (alert,) = found(records)
    assert alert.cohort == {"prompt_version": "v2"} and alert.state == "firing"
    assert START <= hour_of(alert.onset_ns) <= START + 1 and hour_of(alert.fired_ns) <= START + 3
    assert alert.deploys[0].version == "v2"
    assert "fell from 8." in alert.summary and "prompt_version v2" in alert.summary
    assert alert.evidence["suspicion"].startswith("First suspect: support-prompt v2 (more concise)")
    assert (
        "Uptime metrics are all green" in alert.evidence["holds"] and "steps fell" in alert.evidence["holds"]
    )
    assert alert.moved[0].metric == "relevance" and alert.moved[0].significant
    assert alert.moved[0].baseline_n > 10_000 and alert.moved[0].current_n > 30
    assert alert.evidence["chart"] and alert.evidence["log10_m"] > 1
    assert asked == [(alert.id, ["t9"])]

    await watcher.tick(at(END))
    (alert,) = found(records)
    assert alert.state == "resolved" and STOP < hour_of(alert.resolved_ns) <= STOP + 6
    assert [(n.event, n.route) for n in sent(records)] == [("firing", "slack"), ("resolved", "slack")]
    assert len({n.dedup_key for n in sent(records)}) == 1
    assert columns.mirrored[alert.id]["state"] == "resolved"


@pytest.mark.parametrize("seed", [5, 7, 8])
async def test_a_version_whose_answers_partly_collapse_is_one_incident_to_its_end(
    seed: int, records: Records
) -> None:
    # Few scores an hour and a widened spread: what fires is the spread, and its direction is the mean's.
    partly = Normal(8.3, 0.64, 900.0, collapsed=0.3)
    end = START + 40
    columns = filled(Traffic(canary(START, START + 10, share=0.5, bad=partly), n=24, seed=seed), range(end))
    watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]
    for hour in range(START + 2, end, 2):
        await watcher.tick(at(hour))
    assert [(a.cohort, a.state) for a in found(records)] == [({"prompt_version": "v2"}, "resolved")]
    assert [n.event for n in sent(records)] == ["firing", "resolved"]


async def test_when_every_version_gets_worse_all_traffic_is_the_one_alert(records: Records) -> None:
    def mix(h: int) -> dict[str, tuple[float, Normal]]:
        now = Normal(6.9, 0.8) if h >= START else Normal()
        return {"v1": (0.5, now), "v2": (0.5, now)}

    columns = filled(Traffic(mix), range(START + 24))
    await Watcher(columns, records, [relevance_down()]).tick(at(START + 24))  # type: ignore[arg-type]
    assert [a.cohort for a in found(records)] == [{}]
    assert [n.event for n in sent(records)] == ["firing"]


async def test_two_monitors_of_one_cohort_send_one_story(records: Records) -> None:
    columns = filled(Traffic(canary(START, STOP)), range(END))
    monitors = [relevance_down(), relevance_down(name="steps-down", condition="shift(steps) = 'down'")]
    await Watcher(columns, records, monitors).tick(at(END))  # type: ignore[arg-type]
    assert {(a.monitor, a.cohort["prompt_version"]) for a in found(records)} == {
        ("relevance-down", "v2"),
        ("steps-down", "v2"),
    }
    assert len({a.evidence["group"] for a in found(records)}) == 1
    assert [n.event for n in sent(records)] == ["firing", "resolved"]


async def test_nothing_is_told_when_nothing_changed(records: Records) -> None:
    def mix(h: int) -> dict[str, tuple[float, Normal]]:
        return {"v1": (0.7, Normal()), "v2": (0.3, Normal())} if h >= 180 else steady(h)

    monitors = [
        relevance_down(),
        relevance_down(name="steps", condition="shift(steps) = 'down'"),
        relevance_down(name="slow", condition="shift(latency_ms) = 'up' or latency_ms.p99 > 30s"),
        relevance_down(name="share", condition="share(relevance < 7) > 25%"),
        relevance_down(name="errors", condition="error_rate > 1%"),
    ]
    columns = filled(Traffic(mix, n=60), range(252))
    watcher = Watcher(columns, records, monitors)  # type: ignore[arg-type]
    await watcher.tick(at(252))
    assert found(records) == [] and sent(records) == []
    assert watcher.counts.failed == 0 and watcher.counts.ticks == 252


def picture(records: Records) -> tuple[Any, Any]:
    shown = [(a.id, a.state, a.onset_ns, a.fired_ns, a.resolved_ns, a.summary) for a in found(records)]
    return shown, [(n.id, n.dedup_key, n.event, n.created_ns) for n in sent(records)]


class Crash(Exception):
    """The process dies here."""


async def test_a_crash_at_any_commit_changes_nothing_that_is_told(tmp_path: Path) -> None:
    columns = filled(Traffic(canary(176, 188)), range(200))
    pictures = []
    for crashes in (False, True):
        records = Records(f"sqlite:///{tmp_path}/{crashes}.db")
        metadata.create_all(records.engine)
        settings = Settings(batch=24)
        real, calls = records.write, 0

        async def write(work: Any, real: Any = real, crashes: bool = crashes) -> Any:
            nonlocal calls
            calls += 1
            if crashes and calls % 3 == 1:

                def torn(c: Any) -> Any:
                    work(c)
                    raise Crash  # after everything was written, before it was committed

                return await real(torn)
            done = await real(work)
            if crashes and calls % 3 == 2:
                raise Crash  # after the commit, before anything else
            return done

        records.write = write  # type: ignore[method-assign]
        for hour in range(168, 201, 4):
            for _ in range(15 if hour == 168 else 4):
                # A new process each time: nothing is carried over but what was committed.
                watcher = Watcher(columns, records, [relevance_down()], settings=settings)  # type: ignore[arg-type]
                await watcher.tick(at(hour))
        records.write = real  # type: ignore[method-assign]
        mark = records.read_now(lambda c: states.get(c, "default", "watch", "mark"))
        assert hour_of(mark) == 200
        pictures.append(picture(records))
        records.close()
    assert pictures[0] == pictures[1]
    assert len(pictures[0][0]) == 1 and len(pictures[0][1]) == 2


async def test_how_often_it_is_called_does_not_matter(tmp_path: Path) -> None:
    columns = filled(Traffic(canary(176, 188)), range(200))
    pictures = []
    for name, hours in (("once", [200]), ("often", [*range(150, 200, 7), 200, 200])):
        records = Records(f"sqlite:///{tmp_path}/{name}.db")
        metadata.create_all(records.engine)
        watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]
        for hour in hours:
            await watcher.tick(at(hour))
            await watcher.tick(at(hour) - 3 * HOUR)  # the clock stepped back
        pictures.append(picture(records))
        records.close()
    assert pictures[0] == pictures[1]


async def test_before_there_is_a_baseline_nothing_is_claimed(records: Records) -> None:
    columns = filled(Traffic(steady), range(40))
    await Watcher(columns, records, [relevance_down()]).tick(at(40))  # type: ignore[arg-type]
    watched = records.read_now(lambda c: states.get_all(c, "default", "watched"))
    assert {w["life"]["state"] for w in watched.values()} == {"no_data"}
    assert "baseline" in watched["relevance-down|"]["reason"]


async def test_a_first_hour_that_is_not_over_is_no_clock_that_was_ahead(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    columns = filled(Traffic(steady), range(1))
    watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]
    await watcher.tick(at(0))
    await watcher.tick(EPOCH - HOUR // 2)
    assert watcher.counts.rewound == 0 and not caplog.records
    assert await watcher.tick(at(1)) == 2


async def test_silence_of_the_data_is_its_own_state_and_told_when_asked_for(records: Records) -> None:
    columns = filled(Traffic(steady), range(30))
    filled(Traffic(steady), range(40, 44), columns)
    monitor = relevance_down(condition="relevance < 5", no_data="alert", window=HOUR)
    watcher = Watcher(columns, records, [monitor])  # type: ignore[arg-type]
    await watcher.tick(at(38))
    (alert,) = found(records)
    assert (alert.condition, alert.state) == ("no data", "firing") and 32 <= hour_of(alert.fired_ns) <= 34
    state = records.read_now(lambda c: states.get(c, "default", "watched", "relevance-down|"))
    assert state is not None and state["life"]["state"] == "no_data"
    await watcher.tick(at(44))
    assert [a.state for a in found(records)] == ["resolved"]
    assert [n.event for n in sent(records)] == ["firing", "resolved"]


async def test_silence_is_fine_only_where_the_owner_said_so(records: Records) -> None:
    columns = filled(Traffic(steady), range(30))
    rules = [
        relevance_down(name=f"when-{word}", condition="relevance < 5", no_data=word, window=HOUR, by=())
        for word in ("ok", "keep")
    ]
    await Watcher(columns, records, rules).tick(at(40))  # type: ignore[arg-type]
    watched = records.read_now(lambda c: states.get_all(c, "default", "watched"))
    assert {k: w["life"]["state"] for k, w in watched.items()} == {"when-ok|": "ok", "when-keep|": "no_data"}
    assert found(records) == []


async def test_an_incident_does_not_end_because_the_data_did(records: Records) -> None:
    def mix(h: int) -> dict[str, tuple[float, Normal]]:
        return {"v1": (1.0, Normal(4.0))} if h >= 20 else steady(h)

    columns = filled(Traffic(mix), range(26))
    filled(Traffic(steady), range(60, 70), columns)
    watcher = Watcher(columns, records, [relevance_down(condition="relevance < 7")])  # type: ignore[arg-type]
    await watcher.tick(at(59))
    assert [(a.cohort, a.state) for a in found(records)] == [({}, "firing")]
    await watcher.tick(at(70))
    assert [a.state for a in found(records)] == ["resolved"]


async def test_a_page_opens_an_incident_with_its_deploys(records: Records) -> None:
    columns = filled(Traffic(canary(30, 60)), range(40))
    columns.deploys = [Deploy("default", "support-prompt", "v2", EPOCH + 30 * HOUR)]
    monitor = relevance_down(condition="share(relevance < 7) > 25%", severity="page", routes=())
    watcher = Watcher(columns, records, [monitor], Routes(page=("pager",)))  # type: ignore[arg-type]
    await watcher.tick(at(40))
    assert {n.route for n in sent(records)} == {"pager"}
    (incident,) = records.read_now(lambda c: incidents.find(c, "default"))
    story = records.read_now(lambda c: incidents.get(c, "default", incident.id))
    assert story is not None
    assert [e.kind for e in story[1]] == ["deploy", "opened", "alert"]


async def test_an_acknowledged_page_is_not_escalated_and_an_open_one_is(records: Records) -> None:
    columns = filled(Traffic(canary(30, 80)), range(60))
    monitor = relevance_down(
        condition="share(relevance < 7) > 25%", severity="page", response_time=2 * HOUR, routes=("pager",)
    )
    watcher = Watcher(columns, records, [monitor], Routes(escalation=("boss",)))  # type: ignore[arg-type]
    await watcher.tick(at(40))
    assert [n.event for n in sent(records)] == ["firing"], (
        "what fired hours ago and is told now is no unanswered page"
    )
    await watcher.tick(at(41))
    assert len(sent(records)) == 1
    await watcher.tick(at(42))
    assert [n.event for n in sent(records)] == ["firing", "escalated", "escalated"]
    (alert,) = found(records)
    records.write_now(lambda c: alerts.acknowledge(c, "default", alert.id, "ann", at(42)))
    await watcher.tick(at(60))
    assert len(sent(records)) == 3
    kept = records.read_now(lambda c: alerts.get(c, "default", alert.id))
    assert kept is not None and kept.acknowledged_by == "ann"


async def test_a_silence_holds_the_message_back_until_it_ends(records: Records) -> None:
    columns = filled(Traffic(canary(30, 80)), range(60))
    records.write_now(
        lambda c: alerts.add_silence(
            c, "default", {"monitor": "relevance-down"}, EPOCH, EPOCH + 50 * HOUR, "ann", "known"
        )
    )
    watcher = Watcher(columns, records, [relevance_down(condition="share(relevance < 7) > 25%")])  # type: ignore[arg-type]
    await watcher.tick(at(45))
    assert [a.state for a in found(records)] == ["firing"] and sent(records) == []
    await watcher.tick(at(60))
    assert [(n.event, hour_of(n.created_ns)) for n in sent(records)] == [("firing", 50.0)]


async def test_an_alert_on_a_share_says_the_share_and_goes_on_saying_it_when_it_is_over(
    records: Records,
) -> None:
    columns = filled(Traffic(canary(30, 45)), range(80))
    watcher = Watcher(columns, records, [relevance_down(condition="share(relevance < 7) > 25%")])  # type: ignore[arg-type]
    await watcher.tick(at(40))
    (alert,) = found(records)
    assert (
        alert.summary.startswith("share(relevance < 7) ") and "> 25 % for prompt_version v2" in alert.summary
    )
    assert "The mean of relevance" in alert.summary
    assert alert.evidence["headline"].startswith("share(relevance < 7) ")
    await watcher.tick(at(80))
    (over,) = found(records)
    assert over.state == "resolved" and over.summary.startswith("share(relevance < 7) ")


async def test_a_failing_evidence_query_does_not_hide_the_alert(records: Records) -> None:
    columns = filled(Traffic(canary(30, 80)), range(40))

    async def broken(*_: Any, **__: Any) -> Any:
        raise OSError("disk")

    columns.read_deploys = broken  # type: ignore[method-assign]
    watcher = Watcher(columns, records, [relevance_down(condition="share(relevance < 7) > 25%")])  # type: ignore[arg-type]
    await watcher.tick(at(40))
    (alert,) = found(records)
    assert alert.evidence["incomplete"] is True and "share(relevance < 7)" in alert.summary
    assert [n.event for n in sent(records)] == ["firing"]


async def test_an_accepted_new_normal_is_gathered_afresh(records: Records) -> None:
    columns = filled(Traffic(steady), range(200))
    watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]
    await watcher.tick(at(200))
    await watcher.accept("default", "relevance", (), at(200))
    normal = records.read_now(lambda c: states.get(c, "default", "normal", "relevance\x1f"))
    assert normal is not None and normal["fit"] is None and "accepted" in normal["reason"]


async def test_projects_are_watched_apart(records: Records) -> None:
    columns = filled(Traffic(canary(30, 80), project="a"), range(40))
    filled(Traffic(steady, project="b"), range(40), columns)
    rule = relevance_down(condition="share(relevance < 7) > 25%")
    both = [of_project(rule, "a"), of_project(rule, "b")]
    await Watcher(columns, records, both).tick(at(40))  # type: ignore[arg-type]
    assert len(found(records, "a")) == 1 and found(records, "b") == []


def of_project(rule: Monitor, project: str) -> Monitor:
    return Monitor(
        rule.name, rule.condition, rule.owner, rule.runbook, project, by=rule.by, routes=rule.routes
    )


def test_what_is_remembered_survives_json() -> None:
    from watchkeeper.alerting.lifecycle import Life
    from watchkeeper.pipeline.watching.book import Watched

    kept = Watched(Life("pending", 1, 2, 3), dry=2, terms=("a",))
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Watched) == kept


async def test_a_page_that_is_held_back_to_a_warning_opens_an_incident_all_the_same(records: Records) -> None:
    columns = filled(Traffic(canary(30, 60)), range(40))
    held = capped(
        relevance_down(condition="share(relevance < 7) > 25%", severity="page"), {"relevance": "new"}
    )
    assert held.severity == "warn" and held.capped
    await Watcher(columns, records, [held], Routes(warn=("mail",))).tick(at(40))  # type: ignore[arg-type]
    (incident,) = records.read_now(lambda c: incidents.find(c, "default"))
    assert incident.severity == "warn" and incident.document["alerts"] == [found(records)[0].id]
