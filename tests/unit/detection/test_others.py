from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.unit.detection.made import BASE, HOUR, KEY, START, at, events, point, quality, ticks
from watchkeeper.detection import fleet, rates, resolve, states, trend
from watchkeeper.detection.protocol import Evidence
from watchkeeper.detection.slo import BurnRateDetector
from watchkeeper.detection.threshold import ThresholdDetector
from watchkeeper.model.series import BINARY, Insufficient, SeriesKey, cohort_of

NOW = datetime(2025, 1, 6, tzinfo=UTC)
STEP = timedelta(hours=1)


def moved(*looks: tuple[bool, bool, bool, bool], **kwargs):
    status, out = states.Status("ok", NOW), []
    for i, (data, root, full, over) in enumerate(looks):
        status = states.advance(
            status,
            NOW + i * STEP,
            has_data=data,
            m_at_least_root=root,
            m_at_least_a=full,
            over=over,
            **kwargs,
        )
        out.append(status.phase)
    return status, out


QUIET, ROOT, FULL = (True, False, False, False), (True, True, False, False), (True, True, True, False)
OVER, NONE = (True, False, False, True), (False, False, False, False)


@pytest.mark.parametrize(
    ("looks", "phases"),
    [
        ([QUIET, ROOT, FULL, QUIET, OVER, QUIET], ["ok", "pending", "firing", "firing", "resolved", "ok"]),
        ([ROOT, QUIET], ["pending", "ok"]),
        ([FULL, NONE, QUIET, OVER], ["firing", "no_data", "firing", "resolved"]),
        ([NONE, NONE, QUIET], ["no_data", "no_data", "ok"]),
    ],
)
def test_it_moves_through_its_phases(looks, phases):
    assert moved(*looks)[1] == phases


def test_it_waits_as_long_as_for_says_and_keeps_firing_as_long_as_told():
    assert moved(FULL, FULL, FULL, hold=2 * STEP)[1] == ["pending", "pending", "firing"]
    assert moved(FULL, OVER, OVER, OVER, keep_firing=2 * STEP)[1] == [
        "firing",
        "firing",
        "firing",
        "resolved",
    ]


def test_an_unstable_series_never_fires():
    assert moved(ROOT, FULL, QUIET, unstable=True)[1] == ["unstable", "unstable", "ok"]


def test_a_status_follows_a_detector_and_keeps_firing_through_gaps():
    def said(verdict, firing=False):
        return Evidence(0, verdict, firing=firing)

    status, phases = states.Status("ok", NOW), []
    story = [
        said("quiet"),
        said("pending"),
        said("firing", True),
        said("no_data", True),
        said("insufficient", True),
        said("firing", True),
        said("resolved"),
        said("quiet"),
        said("quiet"),
        said("quiet"),
    ]
    for i, e in enumerate(story):
        status = states.follow(status, e, NOW + i * STEP, keep_firing=2 * STEP)
        phases.append(status.phase)
    assert phases[:6] == ["ok", "pending", "firing", "no_data", "no_data", "firing"]
    assert phases[6:] == ["firing", "firing", "resolved", "ok"]


def test_the_threshold_is_the_budget_and_pages_are_ten_times_rarer():
    assert fleet.threshold(2000, HOUR) == 2000 * 168
    assert fleet.threshold(2000, HOUR, page=True) == 2000 * 1680
    assert fleet.spent([1e4, 1e4], [5000, 5000]) == 1.0
    with pytest.raises(ValueError, match="positive"):
        fleet.threshold(0, HOUR)


def test_cohorts_that_move_together_are_found_parent_first():
    keys = [SeriesKey("p", "m")] + [SeriesKey("p", "m", cohort_of({"model": str(i)})) for i in range(5)]
    found = fleet.across(dict(zip(keys, [5.0, 4.5, 6.0, 0.1, 0.2, -300.0], strict=True)))
    assert found[0] == keys[0]
    assert set(found) == set(keys[:3])
    assert fleet.across({}) == []


def test_recovery_needs_four_clear_ticks_and_no_relapse():
    incident = resolve.Incident(0, -1, 3.0, 100.0)
    for _ in range(3):
        incident = resolve.step(incident, 0.0, 100.0)
    assert not resolve.over(incident)
    assert resolve.over(resolve.step(incident, 0.0, 100.0))
    relapsed = resolve.step(incident, -3.0, 100.0)
    assert relapsed.log_e == 0.0
    assert resolve.evidence(relapsed) == 1.0


def base_rate(p: float = 0.002, n: int = 500) -> rates.RateBaseline:
    found = rates.fit_rate(events(np.random.default_rng(1), 0, BASE, p, n), ticks())
    assert isinstance(found, rates.RateBaseline)
    return found


def follow(detector, points):
    state, seen = detector.start(), []
    for p in points:
        state, e = detector.update(state, p)
        seen.append(e)
    return seen


def test_a_rare_rate_that_quadruples_is_found_within_hours():
    seen = follow(rates.RateDetector(base_rate()), events(np.random.default_rng(2), BASE, 24, 0.008))
    first = next(e for e in seen if e.firing)
    assert first.tick_ns <= at(BASE + 10)
    assert first.direction == "up"
    assert first.component == "rate"
    assert first.onset_ns >= START


def test_a_rate_never_seen_in_the_baseline_is_a_fine_baseline():
    base = base_rate(0.0)
    assert base.low < 1e-4 < base.high * 100
    seen = follow(rates.RateDetector(base), events(np.random.default_rng(3), BASE, 48, 0.0))
    assert {e.verdict for e in seen} == {"quiet"}
    assert any(
        e.firing for e in follow(rates.RateDetector(base), events(np.random.default_rng(4), BASE, 24, 0.01))
    )


def test_bursty_counts_are_not_mistaken_for_a_change():
    rng = np.random.default_rng(5)
    burst = [point(t, (rng.random(200) < rng.beta(0.5, 20)).astype(float), BINARY) for t in range(BASE + 120)]
    base = rates.fit_rate(burst[:BASE], ticks())
    assert isinstance(base, rates.RateBaseline)
    assert base.d > 2
    assert not any(e.firing for e in follow(rates.RateDetector(base), burst[BASE:]))


def test_a_rate_needs_a_baseline_and_a_new_cohort_inherits_one():
    assert isinstance(rates.fit_rate([], ticks()), Insufficient)
    parent = base_rate()
    child = SeriesKey("p", "errors", (("model", "new"),))
    found = rates.fit_rate([point(BASE, [1.0], BINARY, child)], ticks(), parent=parent)
    assert isinstance(found, rates.RateBaseline)
    assert found.inherited_from == KEY


def test_a_limit_waits_while_its_interval_straddles_and_fires_when_past():
    detector = ThresholdDetector(0.995, "below")
    calm = follow(detector, events(np.random.default_rng(6), BASE, 100, 0.9985, 300))
    assert not any(e.firing for e in calm)
    bad = follow(detector, events(np.random.default_rng(7), BASE, 60, 0.98, 300))
    verdicts = [e.verdict for e in bad]
    assert "firing" in verdicts
    assert "pending" in verdicts[: verdicts.index("firing")]
    assert bad[-1].direction == "down"


@pytest.mark.parametrize("seed", range(5))
def test_a_metric_exactly_at_its_limit_rarely_fires(seed):
    rng = np.random.default_rng(seed + 60)
    seen = follow(ThresholdDetector(7.88, "below"), quality(rng, BASE, 150, 8.0, n=30))
    assert not any(e.firing for e in seen)


def test_an_upper_limit_works_the_other_way():
    rng = np.random.default_rng(8)
    assert not any(e.firing for e in follow(ThresholdDetector(0.05, "above"), events(rng, BASE, 80, 0.03)))
    assert follow(ThresholdDetector(0.05, "above"), events(rng, BASE, 24, 0.12))[-1].firing


def test_a_hard_limit_bypasses_statistics():
    detector = ThresholdDetector(0.0, "above", hard=True)
    seen = follow(
        detector, [point(0, [0.0] * 9, BINARY), point(1, [0, 1.0], BINARY), point(2, [0.0], BINARY)]
    )
    assert [e.verdict for e in seen] == ["quiet", "firing", "resolved"]


def test_equal_scores_have_no_variance_and_are_not_judged():
    seen = follow(ThresholdDetector(7.0, "below"), [point(0, [6.0, 6.0, 6.0])])
    assert seen[0].verdict == "insufficient"
    assert seen[0].reason


def test_a_fast_burn_pages_and_a_lone_failure_does_not():
    detector = BurnRateDetector(0.95)
    seen = follow(detector, events(np.random.default_rng(9), 0, 30, 0.1))
    first = next(e for e in seen if e.firing)
    assert first.component == "burn 14.4x"
    assert "page" in first.reason
    lone = [point(t, [1.0] * 9 + [0.0], BINARY) for t in range(3)]
    assert not any(e.firing for e in follow(detector, lone))


def test_a_slow_burn_warns():
    seen = follow(BurnRateDetector(0.95), events(np.random.default_rng(10), 0, 90, 0.91))
    last = seen[-1]
    assert last.firing
    assert last.component == "burn 1x"
    assert last.reason.startswith("warn")


def test_the_error_budget_counts_down_and_unknown_is_none():
    detector = BurnRateDetector(0.9)
    half = [point(t, [1.0] * 95 + [0.0] * 5, BINARY) for t in range(4)]
    assert detector.budget_left(half) == pytest.approx(0.5)
    assert detector.budget_left([]) is None
    assert BurnRateDetector(0.9, good_above=6.5).budget_left([point(0, [9.0] * 9 + [3.0])]) == pytest.approx(
        0.0
    )
    with pytest.raises(ValueError, match="objective"):
        BurnRateDetector(1.0)


def test_a_trend_has_a_sign_only_when_its_interval_has():
    rng = np.random.default_rng(11)
    falling = [p for t in range(72) for p in quality(rng, t, 1, 8.0 - 0.03 * t)]
    found = trend.trend(falling)
    assert not isinstance(found, Insufficient)
    assert found.label == "decreasing"
    assert found.low <= found.per_day <= found.high < 0
    flat = trend.trend(quality(rng, 0, 48))
    assert not isinstance(flat, Insufficient)
    assert flat.label == "flat"
    assert isinstance(trend.trend([]), Insufficient)
