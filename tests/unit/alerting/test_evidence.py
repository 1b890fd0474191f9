import pytest

from watchkeeper.alerting import evidence as say
from watchkeeper.alerting.cohorts import cohort_words, is_child
from watchkeeper.alerting.estimates import estimate, look_error, scaled
from watchkeeper.alerting.message import moved_line
from watchkeeper.model.alert import Alert, Deploy, Moved
from watchkeeper.model.series import (
    BINARY,
    TEN,
    UNIT,
    Estimate,
    Insufficient,
    SeriesKey,
    cohort_parse,
    cohort_text,
    gather,
)

HOUR = 3600 * 10**9
AT = 1_699_020_000 * 10**9
V2 = (("prompt_version", "v2"),)


def est(value: float, half: float, n: int = 100) -> Estimate:
    return Estimate(value, value - half, value + half, n, float(n))


def test_the_sentence_says_what_for_whom_from_what_to_what_since_when() -> None:
    said = say.what_changed("m", V2, "answer_relevance", est(8.2, 0.1, 4012), est(6.5, 0.2, 412), AT)
    assert said == (
        "answer_relevance for prompt_version v2 fell from 8.2 (8.1 to 8.3, n 4,012) to 6.5 (6.3 to 6.7, n 412) "
        "since Fri 3 Nov 14:00 UTC."
    )
    assert "is 6.5" in say.what_changed("m", (), "a", Insufficient("no data"), est(6.5, 0.2), None)
    assert "no current value" in say.what_changed("m", (), "a", est(8, 1), Insufficient("no data"), AT)


def test_what_was_passed_comes_first_where_it_is_not_the_mean() -> None:
    broke = ["latency_ms.p95 5.2 s (4.8 s to 6 s, n 412) > 3 s"]
    now, none = est(900, 20, 412), Insufficient("no data")
    said = say.what_changed("m", V2, "latency_ms", est(800, 10, 4012), now, AT, "", broke)
    assert said == (
        "latency_ms.p95 5.2 s (4.8 s to 6 s, n 412) > 3 s for prompt_version v2 since Fri 3 Nov 14:00 UTC. "
        "The mean of latency_ms rose from 800 ms (790 ms to 810 ms, n 4,012) to 900 ms (880 ms to 920 ms, n 412)."
    )
    assert say.what_changed("m", (), "latency_ms", none, none, None, "", broke) == broke[0] + "."
    assert say.headline(V2, "latency_ms", none, now, "", ["latency_ms.p95 5.2 s > 3 s"]) == (
        "latency_ms.p95 5.2 s > 3 s for prompt_version v2"
    )


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [("error_rate", 0.052, "5.2 %"), ("latency_ms", 1234.0, "1.23 s"), ("ttft_ms", 80.0, "80 ms"), ("cost", 0.0042, "$0.0042"), ("a", 8.2, "8.2")],
)  # fmt: skip
def test_values_carry_their_unit(metric: str, value: float, shown: str) -> None:
    assert say.show(metric, value) == shown


def test_what_moved_is_told_apart_from_what_held() -> None:
    lines = [
        say.moved("relevance", est(8.2, 0.1), est(6.5, 0.2)),
        say.moved("steps", est(0.92, 0.01), est(0.64, 0.03)),
        say.moved("error_rate", est(0.004, 0.002), est(0.005, 0.004)),
        say.moved("latency_ms", est(1200, 20), est(900, 20)),
        say.moved("rating", est(4.1, 0.1), Insufficient("no data")),
    ]
    assert [say.direction(x) for x in lines] == ["fell", "fell", "held", "fell", "unknown"]
    said = say.what_holds(lines, ["relevance"])
    assert said == (
        "Also moved: steps fell, latency_ms fell. Held: error_rate. "
        "Uptime metrics are all green (error_rate, latency_ms)."
    )
    slower = [*lines[:3], say.moved("latency_ms", est(1200, 20), est(1500, 20))]
    assert "green" not in say.what_holds(slower)


def test_the_more_metrics_are_compared_the_further_one_must_move() -> None:
    assert say.moved("a", est(8.0, 0.1), est(7.8, 0.1), 1).significant
    assert not say.moved("a", est(8.0, 0.1), est(7.8, 0.1), 30).significant


def deploy(name: str, version: str, hours: float, note: str | None = None) -> Deploy:
    return Deploy("p", name, version, AT + round(hours * HOUR), note)


def test_the_first_suspect_is_the_change_that_made_the_cohort() -> None:
    found = say.suspects(
        [deploy("index", "7", -1), deploy("prompt", "v2", -2), deploy("fix", "9", 3), deploy("old", "1", -100)],
        V2, AT, AT + 10 * HOUR,
    )  # fmt: skip
    assert [s.deploy.name for s in found] == ["prompt", "index", "fix"]
    assert "introduced v2" in found[0].reason and found[2].reason == "made after it began"
    assert say.suspicion(found).startswith("First suspect: prompt v2, ")
    assert say.suspicion(()) == "No deployment or configuration change is recorded near the onset."
    nobody = say.suspects([deploy("index", "7", -3), deploy("index", "8", -1)], (), AT, AT + HOUR)
    assert nobody[0].deploy.version == "8" and nobody[0].reason == "the last change before it began"


def test_long_texts_of_traces_are_cut() -> None:
    rows = say.worst_rows([{"trace_id": str(i), "output_text": "x" * 1000} for i in range(9)], 3)
    assert len(rows) == 3 and all(len(r["output_text"]) == 401 for r in rows)


@pytest.mark.parametrize(
    ("metric", "unit", "value", "shown"),
    [("latency_ms", "", 1991.2, "1.99 s"), ("cost", "", 0.25, "$0.25"), ("answer_relevance", "", 2.5, "2.5"),
     ("tool_error", "rate", 0.0, "0"), ("error_rate", "", 1.0, "1")],
)  # fmt: skip
def test_a_worst_trace_says_its_value_in_the_metric_s_unit(
    metric: str, unit: str, value: float, shown: str
) -> None:
    (row,) = say.worst_rows([{"trace_id": "t", "value": value}], metric=metric, unit=unit)
    assert (row["shown"], row["value"]) == (shown, value)
    (bare,) = say.worst_rows([{"trace_id": "t", "value": None}], metric=metric)
    assert "shown" not in bare


def test_links_quote_what_they_carry() -> None:
    alert = Alert("a1", "p", "m", {"model": "a&b"}, "firing", "warn", "o", "r", "c", 1)
    found = say.links("https://wk.example/", alert, "x y", AT, True)
    assert found["alert"] == "https://wk.example/alerts/a1?project=p"
    assert "model%3Da%26b" in found["traces"] and found["traces"].endswith("&sort=x%20y")
    assert found["series"].startswith("https://wk.example/quality/x%20y?project=p&cohort=")
    assert say.links("", alert, "latency_ms", AT, False)["traces"].endswith("&sort=-latency_ms")


def test_a_line_says_from_what_to_what() -> None:
    line = say.moved("answer_relevance", est(8.2, 0.1, 4012), est(6.5, 0.2, 412))
    assert moved_line(line) == "answer_relevance: 8.2 (n 4,012) → 6.5 (6.3 to 6.7, n 412) fell"
    assert moved_line(Moved("a", None, None, None, 0, None, None, None, 3)) == "a: unknown (n 3)"


def test_cohorts_have_one_spelling() -> None:
    assert cohort_text((("prompt_version", "v2"), ("model", "m"))) == "model=m,prompt_version=v2"
    assert cohort_parse("model=a,b,region=eu") == (("model", "a,b"), ("region", "eu"))
    assert cohort_parse("") == () and cohort_words(()) == "all traffic"
    # What would turn the rest of a sentence is left out of it.
    turned = (("prompt_version", "\u202e2v\u2067"), ("scenario", "\u0645\u0631\u062d\u0628\u0627"))
    assert cohort_words(turned) == "prompt_version 2v, scenario \u0645\u0631\u062d\u0628\u0627"
    assert is_child(V2, ()) and not is_child((), V2) and not is_child(V2, V2)


def test_estimates_state_their_bounds_and_refuse_small_samples() -> None:
    key = SeriesKey("p", "a")
    scores = gather(key, 0, HOUR, TEN, [(float(i % 11), 1.0) for i in range(110)])
    mean = estimate(scores, "mean", 0.025)
    wide = estimate(scores, "mean", 0.0005)
    assert isinstance(mean, Estimate) and isinstance(wide, Estimate)
    assert mean.value == pytest.approx(5.0) and wide.low < mean.low < 5 < mean.high < wide.high
    p50 = estimate(scores, "p50")
    assert isinstance(p50, Estimate) and p50.value == pytest.approx(5.0, abs=0.1)
    total, count, sd = (estimate(scores, s) for s in ("sum", "n", "sd"))
    assert isinstance(total, Estimate) and total.value == pytest.approx(550)
    assert isinstance(count, Estimate) and (count.low, count.high) == (110, 110)
    assert isinstance(sd, Estimate) and sd.low < 3.18 < sd.high
    assert estimate(scores, "mean", min_n=200) == Insufficient("fewer than 200 scores", 110, 110.0)
    assert estimate(None, "n") == Insufficient("no data")
    twice = scaled(total, 2.0)
    assert isinstance(twice, Estimate) and twice.value == pytest.approx(1100)


def test_a_rare_event_far_in_the_tail_is_judged_exactly() -> None:
    # 2 of 23: Wilson's bound at one in ten thousand is 1.1 %, the exact one 0.06 %.
    point = gather(SeriesKey("p", "a"), 0, HOUR, BINARY, [(1.0, 1.0)] * 2 + [(0.0, 1.0)] * 21)
    found = estimate(point, "mean", 1e-4)
    assert isinstance(found, Estimate) and found.low < 0.002


def test_the_error_of_a_look_follows_from_the_budget() -> None:
    assert look_error(100, 168) == pytest.approx(1 / 16800)
    assert look_error(100, 168, severity="page") == pytest.approx(1 / 168000)
    assert look_error(1, 1, 100) == 0.025 and look_error(10**9, 10**4) == 1e-6


@pytest.mark.parametrize(
    ("metric", "figures", "said"),
    [
        ("answer_relevance", (8.29, 8.18, 8.39, 1572), "8.29 ± 0.11 · n 1,572"),
        ("cost", (0.0000958, 0.000095, 0.0000966, 1572), "$0.0000958 ± $0.0000008 · n 1,572"),
        ("cost", (0.0001, -0.0002, 0.0004, 3), "$0.00010 ($0–$0.00040) · n 3"),
        ("latency_ms", (2320.0, 2290.0, 2350.0, 1579), "2.32 s ± 0.03 · n 1,579"),
        ("error_rate", (0.00443, 0.00215, 0.00912, 1579), "0.4 % (0.2–0.9) · n 1,579"),
        ("kappa", (0.1, -0.1, 0.3, 60), "0.1 ± 0.2 · n 60"),
        ("rating", (4.0, None, None, 1), "4 · n 1"),
    ],
)
def test_a_table_shows_the_digits_the_interval_justifies_and_no_amount_below_zero(
    metric: str, figures: tuple[float, float | None, float | None, int], said: str
) -> None:
    assert say.measured(metric, *figures) == said


def test_a_share_is_all_only_where_nothing_is_missing() -> None:
    assert say.measured("", 1.0, 0.998, 1.0, 1572, "rate") == "100 % (99.8–100) · n 1,572"
    assert (
        say.measured("", 0.999999, 0.999998, 1.0, 2_371_595, "rate") == ">99.99 % (>99.99–100) · n 2,371,595"
    )
    assert "100" not in say.measured("", 42999 / 43013, 0.99945, 0.9998, 43013, "rate")


def test_a_sentence_ends_no_amount_below_zero() -> None:
    line = say.moved("cost", est(0.002, 0.001), est(0.001, 0.004, 3))
    assert "($0 to $0.005, n 3)" in moved_line(line)


def test_it_shows_the_mean_of_yes_and_no_as_a_rate() -> None:
    line = say.moved("has_steps", est(0.95, 0.02, 400), est(0.81, 0.05, 210), unit="rate")
    assert moved_line(line) == "has_steps: 95 % (n 400) → 81 % (76 % to 86 %, n 210) fell"
    assert say.side(line, False, "–") == "95 % ± 2 · n 400"
    assert say.side(Moved("a", None, None, None, 0, None, None, None, 3), True, "no value") == "no value"
    assert (
        say.headline((), "has_steps", est(0.95, 0.02), est(0.81, 0.05), "rate")
        == "has_steps fell from 95 % to 81 %"
    )


def test_a_headline_has_the_digits_of_the_value_that_is_known_less_well() -> None:
    assert (
        say.headline((), "relevance", est(8.31, 0.07), est(5.53, 1.5, 27)) == "relevance fell from 8.3 to 5.5"
    )
    # Those that would be alike have their own.
    assert (
        say.headline((), "relevance", est(8.31, 0.07), est(8.26, 1.5, 27))
        == "relevance fell from 8.31 to 8.26"
    )
    assert (
        say.headline((), "latency_ms", est(900.0, 5.0), est(1200.0, 5.0))
        == "latency_ms rose from 900 ms to 1.2 s"
    )


def test_equal_sums_of_money_have_no_interval_of_rounding_errors() -> None:
    assert say.measured("cost", 0.0000495, 0.0000495 - 1e-17, 0.0000495 + 1e-17, 3) == "$0.0000495 ± 0 · n 3"


def test_fewer_abandoned_sessions_are_not_worse() -> None:
    line = say.moved("abandoned", est(0.1, 0.01), est(0.06, 0.01), unit="rate")
    assert say.direction(line) == "fell" and not say.worse(line)
    assert say.worse(say.moved("rephrased", est(0.06, 0.01), est(0.1, 0.01), unit="rate"))


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (0.0, 0.1, 0.0), (1.0, 1.0, 1.0)])
def test_three_scores_that_are_alike_prove_no_limit(values: tuple[float, ...]) -> None:
    found = estimate(gather(SeriesKey("p", "m"), 0, 1, UNIT, [(v, 1.0) for v in values]), "mean", 1e-4, 1)
    assert isinstance(found, Estimate)
    assert 0.0 <= found.low <= 0.1 and 0.9 <= found.high <= 1.0
