import msgspec
import numpy as np
import pytest

from tests.unit.detection.made import BASE, HOUR, KEY, at, point, quality, scores, ticks
from watchkeeper.detection import panel
from watchkeeper.detection.baseline import Baseline, Config, fit, inherit, reduce_points, stack
from watchkeeper.detection.family import Ticks, variance_table
from watchkeeper.detection.fit import long_run, season, spent
from watchkeeper.detection.recursion import Streams
from watchkeeper.model.series import BINARY, MILLISECONDS, TEN, Insufficient, Point, SeriesKey, gather

ERA = np.random.default_rng(1)
CALM = quality(ERA, 0, BASE)


def fitted(points: list[Point] = CALM, **kwargs) -> Baseline:
    found = fit(points, ticks(), **kwargs)
    assert isinstance(found, Baseline), found
    return found


def run(baseline: Baseline, points: list[Point], state: panel.State | None = None, config: Config = Config()):
    state = state or panel.start()
    seen = []
    for p in points:
        state, evidence = panel.update(baseline, state, p, config)
        seen.append(evidence)
    return state, seen


def test_a_drop_is_pending_then_firing_with_the_evidence_a_person_needs():
    rng = np.random.default_rng(2)
    _, seen = run(fitted(), quality(rng, BASE, 24) + quality(rng, BASE + 24, 24, mean=7.6))
    verdicts = [e.verdict for e in seen]
    assert set(verdicts[:24]) == {"quiet"}
    assert "pending" in verdicts
    first = next(e for e in seen if e.verdict == "firing")
    assert first.component == "mean"
    assert first.direction == "down"
    assert first.log10_m is not None and first.log10_m >= first.log10_a == 4.0
    assert abs(first.onset_ns - at(BASE + 24)) <= 2 * HOUR
    assert first.current.high < first.baseline.low
    assert first.n == 100
    assert 0 < first.detectable < 0.5


def test_a_collapsed_tail_is_found_though_the_mean_is_kept():
    rng = np.random.default_rng(3)
    bad = []
    for t in range(BASE, BASE + 24):
        x = scores(rng, 100, 8.3)
        x[rng.random(100) < 0.05] = 1
        bad.append(point(t, x))
    _, seen = run(fitted(), bad)
    first = next(e for e in seen if e.verdict == "firing")
    assert first.component in ("low01", "low05", "spread")
    assert first.direction == "up"


def test_many_series_at_once_are_the_same_arithmetic_as_one():
    rng = np.random.default_rng(4)
    a, b = fitted(), fitted(quality(rng, 0, BASE, mean=6.0))
    together, streams = stack([a, b]), Streams.fresh(2)
    later = [quality(rng, BASE, 20, mean=7.8), quality(rng, BASE, 20, mean=5.9)]
    states = [panel.start(), panel.start()]
    for i in range(20):
        parts = [reduce_points([later[s][i]]) for s in range(2)]
        both = Ticks(
            *(np.concatenate([getattr(p, f) for p in parts]) for f in ("n_eff", "a1", "a2", "share"))
        )
        m = panel.step(together, streams, both, later[0][i].start_ns + HOUR // 2)
        for s, base in enumerate((a, b)):
            states[s], e = panel.update(base, states[s], later[s][i], Config(threshold=1e12))
            assert 10**e.log10_m == pytest.approx(m[s])


def test_a_baseline_survives_json():
    base = fitted()
    assert msgspec.json.decode(msgspec.json.encode(base), type=Baseline) == base


@pytest.mark.parametrize("points", [[], CALM[:100], CALM[::10], [point(t, [8.0] * 50) for t in range(BASE)]])
def test_too_little_or_constant_data_is_insufficient_with_a_reason(points):
    found = fit(points, ticks())
    assert isinstance(found, Insufficient)
    assert "baseline" in found.reason


def test_a_short_period_is_insufficient_however_many_scores_it_holds():
    found = fit(CALM[:120], ticks(120))
    assert isinstance(found, Insufficient)
    assert "7 days" in found.reason


def test_points_outside_the_period_do_not_enter_the_baseline():
    rng = np.random.default_rng(5)
    assert fitted(CALM + quality(rng, BASE, 50, mean=2.0)) == fitted()


def test_series_are_not_mixed():
    other = msgspec.structs.replace(CALM[5], key=SeriesKey("p", "relevance", (("model", "x"),)))
    with pytest.raises(ValueError, match="one series"):
        fit([*CALM, other], ticks())


def test_a_new_cohort_inherits_its_parents_baseline_and_says_so():
    child = SeriesKey("p", "relevance", (("prompt_version", "9"),))
    parent = fitted()
    found = fit([point(BASE + 1, [8.0], key=child)], ticks(), parent=parent)
    assert isinstance(found, Baseline)
    assert found == inherit(parent, child)
    rng = np.random.default_rng(6)
    bad = [point(t, scores(rng, 60, 6.5), key=child) for t in range(BASE, BASE + 8)]
    _, seen = run(found, bad)
    assert seen[-1].firing
    assert "new" in (seen[0].reason or "") or "new" in (seen[-1].reason or "")


def test_an_incident_of_a_replaced_cohort_resolves_on_the_parents_points():
    child = SeriesKey("p", "relevance", (("prompt_version", "9"),))
    parent = fitted()
    own = inherit(parent, child)
    rng = np.random.default_rng(7)
    bad = [point(t, scores(rng, 60, 6.5), key=child) for t in range(BASE, BASE + 8)]
    state, seen = run(own, bad)
    assert seen[-1].firing
    _, after = run(parent, quality(rng, BASE + 8, 12), state)
    assert [e.verdict for e in after].count("resolved") == 1


def test_a_series_that_alarms_on_its_own_baseline_is_unstable_and_does_not_fire():
    rng = np.random.default_rng(8)
    half = BASE // 2
    base = fitted(quality(rng, 0, half, 8.0) + quality(rng, half, half, 7.0))
    assert base.unstable
    _, seen = run(base, quality(rng, BASE, 30, mean=2.0))
    verdicts = {e.verdict for e in seen}
    assert "unstable" in verdicts
    assert "firing" not in verdicts


def test_small_ticks_are_merged_until_they_can_be_judged():
    rng = np.random.default_rng(9)
    small = [point(t, scores(rng, 2)) for t in range(BASE)]
    base = fitted(small, config=Config(min_ticks=40))
    _, seen = run(base, [point(BASE + i, scores(rng, 2)) for i in range(9)])
    assert [e.verdict for e in seen] == ["insufficient", "insufficient", "quiet"] * 3
    assert "effective scores" in seen[0].reason


def test_changing_the_sampling_rate_is_not_drift():
    rng = np.random.default_rng(10)

    def sampled(t: int, pi: float) -> Point:
        good = scores(rng, 2000)
        keep = np.where(good <= 4, 1.0, pi)
        chosen = rng.random(2000) < keep
        pairs = zip(good[chosen].tolist(), keep[chosen].tolist(), strict=True)
        return gather(KEY, at(t), at(t + 1), TEN, pairs)

    base = fitted([sampled(t, 0.03) for t in range(BASE)])
    _, seen = run(base, [sampled(t, 0.10) for t in range(BASE, BASE + 72)])
    assert {e.verdict for e in seen} == {"quiet"}


def test_latency_is_watched_on_the_log_scale():
    rng = np.random.default_rng(11)

    def slow(t: int, factor: float, share: float) -> Point:
        x = np.exp(rng.normal(np.log(1500), 0.6, 100)) * np.where(rng.random(100) < share, factor, 1.0)
        return point(t, x, MILLISECONDS)

    base = fitted([slow(t, 1, 0) for t in range(BASE)])
    assert base.mask == [True] * 6
    _, calm = run(base, [slow(t, 1, 0) for t in range(BASE, BASE + 72)])
    assert not any(e.firing for e in calm)
    _, seen = run(base, [slow(t, 6, 0.06) for t in range(BASE, BASE + 30)])
    assert any(e.firing for e in seen)


def test_another_axis_is_an_error():
    with pytest.raises(ValueError, match="axis"):
        panel.update(fitted(), panel.start(), point(BASE, [1.0, 0.0], BINARY))


def test_one_incident_is_one_episode_and_ends_after_recovery():
    rng = np.random.default_rng(12)
    base = fitted()
    points = quality(rng, BASE, 24, 7.3) + quality(rng, BASE + 24, 60)
    _, seen = run(base, points)
    firing = [e.firing for e in seen]
    starts = sum(b and not a for a, b in zip([False, *firing], firing, strict=False))
    assert starts == 1
    done = [e.verdict for e in seen].index("resolved")
    assert 24 <= done <= 24 + 12


def test_the_variance_function_of_a_binary_histogram_is_binomial():
    first, step, table = variance_table(np.array([[0.0, 1.0]]), np.array([[0.3, 0.7]]))
    for u in (0.2, 0.5, 0.7, 0.9):
        assert np.interp(u, first[0] + step[0] * np.arange(table.shape[1]), table[0]) == pytest.approx(
            u * (1 - u), abs=0.005
        )


def test_the_season_knows_mondays_and_midnights():
    x = season(np.array([at(0), at(24), at(24 * 6)], dtype=np.int64))
    assert x[0, 1:7].tolist() == x[1, 1:7].tolist() == pytest.approx([1, 0, 1, 0, 1, 0])
    assert x[0, 7:].tolist() == [1, 0, 0, 0, 0, 0]
    assert x[2, 7:].tolist() == [-1] * 6


def test_autocorrelation_inflates_and_white_noise_does_not():
    rng = np.random.default_rng(13)
    white = rng.standard_normal((200, 336, 1))
    assert np.median(long_run(white)) < 1.25
    ar = np.empty_like(white)
    ar[:, 0] = white[:, 0]
    for t in range(1, 336):
        ar[:, t] = 0.7 * ar[:, t - 1] + white[:, t]
    assert 4 < np.median(long_run(ar)) < 8


def test_a_baseline_with_single_bad_hours_asks_for_several_of_them():
    rng = np.random.default_rng(17)
    calm = fit(quality(rng, 0, BASE), ticks())
    jumpy = fit([p for t in range(BASE) for p in quality(rng, t, 1, 6.5 if t % 60 == 30 else 8.0)], ticks())
    assert isinstance(calm, Baseline) and isinstance(jumpy, Baseline)
    assert jumpy.limit < calm.limit
    one = [*quality(rng, BASE, 1, 6.5), *quality(rng, BASE + 1, 40)]

    def fires(base: Baseline, points: list[Point]) -> list[bool]:
        state, seen = panel.start(), []
        for p in points:
            state, e = panel.update(base, state, p)
            seen.append(e.firing)
        return seen

    assert fires(calm, one)[0]
    assert not any(fires(jumpy, one))
    assert any(fires(jumpy, quality(rng, BASE, 12, 6.5)))


def test_autocorrelation_that_a_fit_took_out_is_given_back():
    # Sixty free ticks, of which thirteen coefficients took a fifth; never more than doubled.
    assert spent(np.array(2.0), np.array(13.0), np.array(120.0)) == pytest.approx(2.0 / (1 - 26 / 120))
    assert spent(np.array(40.0), np.array(13.0), np.array(336.0)) == pytest.approx(80.0)
    assert spent(np.array(1.0), np.array(1.0), np.array(336.0)) == pytest.approx(1.0, abs=0.01)
