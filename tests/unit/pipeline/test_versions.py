"""Another judge is no drop, and what arrives late is judged where it belongs: once."""

from collections.abc import Callable

import msgspec

from tests.unit.pipeline.test_watch import at, filled, found, hour_of, relevance_down, sent
from tests.unit.pipeline.world import EPOCH, HOUR, Columns, Normal, Traffic, steady
from watchkeeper.model.series import TEN, Axis, Point
from watchkeeper.pipeline.backtest import over_history
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.pipeline.watching.book import Watched
from watchkeeper.pipeline.watching.normals import Normal as Frozen
from watchkeeper.pipeline.watching.versions import is_version_alert
from watchkeeper.store.records import states
from watchkeeper.store.records.engine import Records

CHANGE = 400
HARSH = Normal(relevance=6.4)


def made_by(version: Callable[[int], str], traffic: Traffic, hours: range) -> Columns:
    """The traffic, its relevance scored by `version(hour)`."""
    columns = Columns()
    for h in hours:
        columns.add(
            msgspec.structs.replace(p, version=version(h)) if "relevance" in p.key.metric else p
            for p in traffic.hour(h)
        )
    return columns


def normal_of(records: Records, key: str = "relevance\x1f") -> Frozen:
    return msgspec.convert(records.read_now(lambda c: states.get(c, "default", "normal", key)), Frozen)


def watched_of(records: Records, key: str = "relevance-down|") -> Watched:
    return msgspec.convert(records.read_now(lambda c: states.get(c, "default", "watched", key)), Watched)


async def test_a_harsher_judge_is_no_drop_and_its_own_baseline_finds_the_next_real_one(
    records: Records,
) -> None:
    drop = CHANGE + 12 * 24
    traffic = Traffic(lambda h: {"v1": (1.0, Normal() if h < CHANGE else HARSH if h < drop else Normal(4.6))})
    columns = made_by(lambda h: "1 gpt-5" if h < CHANGE else "1 gpt-6", traffic, range(drop + 24))
    watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]

    await watcher.tick(at(CHANGE + 100))
    (told,) = found(records)
    assert is_version_alert(told) and told.severity == "info" and told.state == "resolved"
    assert "from 1 gpt-5 to 1 gpt-6" in told.summary and hour_of(told.fired_ns) == CHANGE
    assert sent(records) == []
    assert normal_of(records).relearning and watched_of(records).reason.count("relearning") == 1

    await watcher.tick(at(drop))
    assert len(found(records)) == 1 and not normal_of(records).relearning
    assert normal_of(records).from_ns >= EPOCH + CHANGE * HOUR

    await watcher.tick(at(drop + 24))
    (real,) = [a for a in found(records) if not is_version_alert(a)]
    assert real.state == "firing" and drop <= hour_of(real.fired_ns) <= drop + 3
    assert "fell from 6." in real.summary

    # A backtest speaks of what would have been told to people.
    past = await over_history(columns, [relevance_down()], EPOCH + 350 * HOUR, EPOCH + (drop + 24) * HOUR)  # type: ignore[arg-type]
    assert {p.monitor for p in past} == {"relevance-down"}


async def test_the_same_drop_by_the_same_judge_is_told(records: Records) -> None:
    traffic = Traffic(lambda h: {"v1": (1.0, Normal() if h < CHANGE else HARSH)})
    columns = made_by(lambda h: "1 gpt-5", traffic, range(CHANGE + 12))
    watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]
    await watcher.tick(at(CHANGE + 10))
    (real,) = found(records)
    assert real.state == "firing" and not is_version_alert(real)


async def test_a_baseline_of_before_versions_were_recorded_is_kept(records: Records) -> None:
    columns = made_by(lambda h: "" if h < CHANGE else "1 gpt-5", Traffic(steady), range(CHANGE + 24))
    watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]
    await watcher.tick(at(CHANGE + 20))
    assert found(records) == []
    assert normal_of(records).version == "1 gpt-5" and normal_of(records).fit is not None


async def test_a_limit_is_not_judged_over_two_judges(records: Records) -> None:
    traffic = Traffic(lambda h: {"v1": (1.0, Normal() if h < CHANGE else HARSH)})
    columns = made_by(lambda h: "1 a" if h < CHANGE else "1 b", traffic, range(CHANGE + 30))
    falling = relevance_down(
        name="week", condition="current_day.relevance < previous_day.relevance - 0.5", by=()
    )
    await Watcher(columns, records, [falling]).tick(at(CHANGE + 24))  # type: ignore[arg-type]
    assert [a for a in found(records) if not is_version_alert(a)] == []
    assert "version" in watched_of(records, "week|").reason


def thin(points: list[Point], share: float) -> list[Point]:
    """A part of what these points will be: as if most of the scores were still to come."""

    def scaled(p: Point) -> Point:
        sums = {k: getattr(p, k) * share for k in ("sw", "sw2", "swx", "swx2", "sw2x", "sw2x2")}
        hist = {k: tuple(x * share for x in getattr(p, k)) for k in ("hist_w", "hist_w2")}
        return msgspec.structs.replace(p, n=max(round(p.n * share), 1), **sums, **hist)

    return [scaled(p) for p in points]


async def test_scores_that_arrive_hours_late_are_judged_in_their_hour_and_told_once(records: Records) -> None:
    begins, ends = 400, 420
    traffic = Traffic(lambda h: {"v1": (1.0, Normal(relevance=7.7) if begins <= h < ends else Normal())})
    prompt, late = Columns(), range(begins, begins + 16)
    filled(traffic, range(begins), prompt)
    for h in late:
        prompt.add(thin(traffic.hour(h), 0.04))
    watcher = Watcher(prompt, records, [relevance_down(by=())])  # type: ignore[arg-type]
    for h in range(begins - 60, late.stop + 1, 4):
        await watcher.tick(at(h))
    assert found(records) == []

    filled(traffic, range(begins, late.stop + 2), prompt)
    await write_late(records, late)
    await watcher.tick(at(late.stop + 2))
    (alert,) = found(records)
    assert begins - 1 <= hour_of(alert.onset_ns) <= begins + 6 and watcher.counts.late == 1
    assert records.read_now(lambda c: states.get(c, "default", "roll", "late")) == {}

    # More of the same while it is open, and after it has ended: no second alert about the same hours.
    await write_late(records, late, 7)
    filled(traffic, range(late.stop, 450), prompt)
    await watcher.tick(at(448))
    await write_late(records, late, 8)
    filled(traffic, range(450, 456), prompt)
    await watcher.tick(at(455))
    (alert,) = found(records)
    assert alert.state == "resolved" and watcher.counts.late == 1 and watcher.counts.late_firing >= 1
    assert [n.event for n in sent(records)] == ["firing", "resolved"]


async def write_late(records: Records, hours: range, n: int = 100) -> None:
    late = {str(EPOCH + h * HOUR): n for h in hours}
    await records.write(lambda c: states.put(c, "default", "roll", "late", late, 1))


async def test_judging_again_what_did_not_change_changes_nothing(records: Records) -> None:
    columns = filled(Traffic(steady), range(440))
    watcher = Watcher(columns, records, [relevance_down(by=())])  # type: ignore[arg-type]
    await watcher.tick(at(430))
    before = watched_of(records)
    await write_late(records, range(424, 429))
    other = Watcher(columns, records, [relevance_down(by=())])  # type: ignore[arg-type]
    await other.tick(at(431))
    again = watched_of(records)
    assert other.counts.late == 1 and found(records) == []
    await records.write(
        lambda c: states.put(c, "default", "watched", "relevance-down|", msgspec.to_builtins(before), 1)
    )
    await records.write(lambda c: states.put(c, "default", "watch", "mark", EPOCH + 430 * HOUR, 1))
    await watcher.tick(at(431))
    assert watched_of(records).detectors == again.detectors


async def test_a_scorer_that_began_later_has_a_detector_after_its_own_seven_days(records: Records) -> None:
    begins, drop = 300, 300 + 9 * 24
    traffic = Traffic(lambda h: {"v1": (1.0, Normal() if h < drop else HARSH)})
    columns = Columns()
    for h in range(drop + 8):
        columns.add(p for p in traffic.hour(h) if "relevance" not in p.key.metric or h >= begins)
    watcher = Watcher(columns, records, [relevance_down(by=())])  # type: ignore[arg-type]
    await watcher.tick(at(begins + 5 * 24))
    assert normal_of(records).fit is None and "7 days" in normal_of(records).reason
    await watcher.tick(at(drop + 6))
    assert normal_of(records).fit is not None
    (real,) = found(records)
    assert drop <= hour_of(real.fired_ns) <= drop + 3
    # Frozen once after seven days, and not day after day until the present is part of it.
    assert normal_of(records).to_ns < EPOCH + (begins + 8 * 24) * HOUR


async def test_a_series_rolled_again_on_a_wider_scale_is_watched_on_that(records: Records) -> None:
    drop = 460
    traffic = Traffic(lambda h: {"v1": (1.0, Normal() if h < drop else Normal(4.6))})
    columns = made_by(lambda h: "1 gpt-5", traffic, range(drop + 24))
    watcher = Watcher(columns, records, [relevance_down()])  # type: ignore[arg-type]
    await watcher.tick(at(drop - 10))
    before, wide = normal_of(records), Axis(-0.5, 20.5, 21)
    assert before.fit is not None and before.fit.axis == TEN

    def wider(held: tuple[float, ...]) -> tuple[float, ...]:
        return (*held[:-1], *(0.0,) * (wide.size - len(held)), held[-1])

    columns.add(
        msgspec.structs.replace(p, axis=wide, hist_w=wider(p.hist_w), hist_w2=wider(p.hist_w2))
        for p in [p for by in columns.points.values() for p in by.values() if p.axis == TEN]
    )
    await watcher.tick(at(drop - 8))
    after = normal_of(records)
    assert after.fit is not None and after.fit.axis == wide and not after.relearning
    assert after.to_ns - after.from_ns == before.to_ns - before.from_ns and found(records) == []
    await watcher.tick(at(drop + 24))
    assert [a.state for a in found(records)] == ["firing"] and watcher.counts.failed == 0
