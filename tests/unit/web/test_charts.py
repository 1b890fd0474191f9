import math
import multiprocessing
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.waiting import until_async
from watchkeeper.web.charts import theme
from watchkeeper.web.charts.draw import Drawer, Engine
from watchkeeper.web.charts.figure import figure
from watchkeeper.web.charts.inline import bars, spark, strips
from watchkeeper.web.charts.scatter import scatter
from watchkeeper.web.charts.spec import Dot, Mark, SeriesChart, Stretch, distribution, series, y_domain
from watchkeeper.web.render import STATIC

HOUR = 3_600_000_000_000
START = 1_772_500_000_000_000_000 // HOUR * HOUR


def chart(values: list[float | None]) -> SeriesChart:
    dots = [
        Dot(
            START + i * HOUR,
            v,
            None if v is None else v - 0.5,
            None if v is None else v + 0.5,
            0 if v is None else 90,
        )
        for i, v in enumerate(values)
    ]
    return SeriesChart(dots, START, START + len(values) * HOUR, 3600)


def tokens() -> dict[str, tuple[str, str]]:
    css = (STATIC / "tokens.css").read_text()
    return {n: (a, b) for n, a, b in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", css)}


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXT_ON = [
    *(
        ("text", s)
        for s in (
            "bg",
            "surface",
            "raised",
            "sunken",
            "hover",
            "accent-soft",
            "bad-soft",
            "good-soft",
            "warn-soft",
        )
    ),
    *(
        ("muted", s)
        for s in ("bg", "surface", "raised", "sunken", "hover", "unknown-soft", "accent-soft", "bad-soft")
    ),
    *(("accent", s) for s in ("bg", "surface", "raised", "hover", "accent-soft", "sunken")),
    *(
        (n, s)
        for n in ("good", "warn", "bad", "unknown")
        for s in ("bg", "surface", "raised", "hover", f"{n}-soft")
    ),
    ("on-accent", "accent"),
]


@pytest.mark.parametrize("which", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "paper"), TEXT_ON, ids=lambda v: str(v))
def test_it_has_aa_contrast(ink: str, paper: str, which: int) -> None:
    known = tokens()
    assert contrast(known[ink][which], known[paper][which]) >= 4.5


@pytest.mark.parametrize("which", [0, 1], ids=["light", "dark"])
def test_it_outlines_fields_and_focus_visibly(which: int) -> None:
    known = tokens()
    for ink in ("line-strong", "accent"):
        for paper in ("surface", "bg", "raised"):
            assert contrast(known[ink][which], known[paper][which]) >= 3


def test_it_draws_charts_in_the_colours_of_the_pages() -> None:
    known = tokens()
    for which, name in enumerate(("light", "dark")):
        for token, colour in theme.TOKENS[name].items():
            assert known[token][which] == colour, token


def test_it_has_no_colour_outside_the_tokens() -> None:
    for name in ("base.css", "pages.css", "app.css"):
        css = (STATIC / name).read_text()
        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", css), name


async def test_it_draws_a_series_with_band_baseline_deploy_and_alert() -> None:
    made = replace(
        chart([8.0, 8.1, None, 7.9, 6.5, 6.4]),
        deploys=[Mark(START + 4 * HOUR, "support-answer v2")],
        stretches=[Stretch(START + 4 * HOUR, START + 6 * HOUR, "relevance-down")],
        baseline=(8.0, 7.9, 8.1),
    )
    drawer = Drawer()
    svg, key = await drawer.draw(series(made, "light"))
    root = ET.fromstring(svg)
    words = "".join(root.itertext())
    assert "support-answer v2" in words
    assert theme.TOKENS["light"]["accent"] in svg.decode()
    assert theme.TOKENS["light"]["bad"] in svg.decode()
    again, same = await drawer.draw(series(made, "light"))
    assert (again, same, drawer.drawn, drawer.remembered) == (svg, key, 1, 1)
    dark, other = await drawer.draw(series(made, "dark"))
    assert other != key
    assert theme.TOKENS["dark"]["accent"] in dark.decode()


async def test_it_draws_the_same_chart_as_a_picture_for_messages() -> None:
    png, _ = await Drawer().draw(series(chart([1.0, 2.0, 3.0]), "light"), "png")
    assert png.startswith(b"\x89PNG\r\n")


def test_a_point_is_in_the_middle_of_what_is_seen_of_its_bucket() -> None:
    one = SeriesChart([Dot(START, 8.0, None, None, 3)], START - 24 * HOUR, START + HOUR // 4, 3600)
    (drawn,) = [
        layer
        for layer in series(one, "light")["layer"]
        if isinstance(layer["mark"], dict) and layer["mark"]["type"] == "point" and layer["data"]["values"]
    ]
    assert drawn["data"]["values"][0]["t"] == (START + HOUR // 8) // 1_000_000
    # A lone point is all there is to see: it is not cut at the frame, and larger than those along a line.
    assert "clip" not in drawn["mark"] and drawn["mark"]["size"] > 16


def test_no_point_is_drawn_beyond_the_scale() -> None:
    made = series(replace(chart([8.0, 8.1, 99.0]), domain=(7.0, 9.0)), "light")
    shown = [
        r["v"] for layer in made["layer"] if layer["mark"]["type"] == "point" for r in layer["data"]["values"]
    ]
    assert shown == [8.0, 8.1]


async def test_an_axis_of_small_sums_is_in_dollars_as_the_numbers_are() -> None:
    values = [0.00005, 0.00008]
    flat = [Dot(START + i * HOUR, v, v, v, 9) for i, v in enumerate(values)]
    svg, _ = await Drawer().draw(series(replace(chart([*values]), dots=flat, unit="money"), "light"))
    words = re.findall(r">([^<>]+)</text>", svg.decode())
    assert [w for w in words if w.startswith("$0.0000")] and not [w for w in words if "¢" in w]


def test_a_scatter_with_a_few_far_values_has_a_scale_of_ratios() -> None:
    far = [(1000.0 + i, 8.0) for i in range(50)] + [(600_000.0, 3.0)]
    x = scatter(far, "latency_ms", "answer_relevance", "light")["encoding"]["x"]
    assert x["scale"]["type"] == "log" and "' s'" in x["axis"]["labelExpr"]
    near = scatter(far[:-1], "latency_ms", "answer_relevance", "light")["encoding"]["x"]
    nought = scatter([(0.0, 1.0), *far], "tool_calls", "answer_relevance", "light")["encoding"]["x"]
    assert near["scale"] == nought["scale"] == {"zero": False}


async def test_it_writes_axis_labels_without_exponents() -> None:
    for values, wanted in ([6.0, 10.4], "10"), ([9_000.0, 12_500.0], "12,000"), ([0.02, 0.05], "0.05"):
        flat = [Dot(START + i * HOUR, v, v, v, 9) for i, v in enumerate(values)]
        svg, _ = await Drawer().draw(series(replace(chart(list(values)), dots=flat), "light"))
        words = re.findall(r">([^<>]+)</text>", svg.decode())
        assert wanted in words
        assert not [w for w in words if re.fullmatch(r"[\d.]+e[+-]?\d+", w)]


@pytest.mark.parametrize("days", [2, 5, 14, 30])
async def test_a_small_picture_of_days_names_days(days: int) -> None:
    made = replace(chart([1.0, 2.0]), until_ns=START + days * 24 * HOUR, width=380, height=150)
    svg, _ = await Drawer().draw(series(made, "light"))
    assert len(re.findall(r">[A-Z][a-z]{2} \d+ [A-Z][a-z]{2}</text>", svg.decode())) >= 2


async def test_it_draws_hostile_labels_as_text() -> None:
    made = replace(chart([1.0, 2.0]), deploys=[Mark(START + HOUR, "</text><script>alert(1)")])
    svg, _ = await Drawer().draw(series(made, "light"))
    assert b"<script" not in svg
    ET.fromstring(svg)


async def test_it_draws_an_empty_series_and_two_distributions() -> None:
    svg, _ = await Drawer().draw(series(chart([None, None]), "light"))
    ET.fromstring(svg)
    pairs = [("0–1", 0.4), ("1–2", 0.6)]
    ET.fromstring((await Drawer().draw(distribution(pairs, pairs, "dark")))[0])


async def test_it_forgets_the_oldest_picture_first() -> None:
    drawer = Drawer(keep=1)
    await drawer.draw(series(chart([1.0, 2.0]), "light"))
    await drawer.draw(series(chart([2.0, 3.0]), "light"))
    await drawer.draw(series(chart([1.0, 2.0]), "light"))
    assert drawer.drawn == 3


async def test_the_process_that_draws_is_replaced_when_killed_and_goes_when_idle() -> None:
    engine, spec = Engine(idle_s=0.05), series(chart([1.0, 2.0]), "light")
    first = await engine.run(spec, "svg", 1.0)
    await until_async(lambda: not engine.running)
    engine.idle_s = 60
    await engine.run(spec, "svg", 1.0)
    for child in multiprocessing.active_children():
        child.kill()
    assert await engine.run(spec, "svg", 1.0) == first
    engine.stop()


async def test_a_specification_that_is_refused_is_a_value_error_and_the_next_is_drawn() -> None:
    drawer = Drawer()
    with pytest.raises(ValueError):
        await drawer.draw({"mark": "no such mark"})
    assert (await drawer.draw(series(chart([1.0, 2.0]), "light")))[0].startswith(b"<svg")


def test_it_shares_one_scale_and_lets_no_tiny_bucket_flatten_it() -> None:
    wild = chart([8.0, 8.1, 7.9])
    wild = replace(wild, dots=[*wild.dots, Dot(START + 3 * HOUR, 8.0, -40.0, 60.0, 2)])
    low, high = y_domain([wild, chart([6.0, 6.1])]) or (math.nan, math.nan)
    assert 5 < low < 6
    assert 8 < high < 10
    assert y_domain([chart([None])]) is None
    lone = replace(wild, dots=[*chart([8.0, 8.1]).dots, Dot(START + 2 * HOUR, 1.0, None, None, 1)])
    assert (y_domain([lone]) or (0.0,))[0] > 7
    only = replace(wild, dots=[Dot(START, 1.0, None, None, 1), Dot(START + HOUR, 4.0, None, None, 1)])
    low, high = y_domain([only]) or (math.nan, math.nan)
    assert low < 1 and high > 4


def test_it_does_not_bridge_what_is_unknown() -> None:
    drawn = spark(chart([1.0, 2.0, None, 3.0, None, 4.0, 5.0]).dots)
    assert drawn.line.count("M") == 2
    assert len(drawn.dots) == 1
    assert spark([]).line == ""


def test_it_links_every_known_bucket_to_its_traces() -> None:
    made = chart([1.0, None, 3.0])
    links = strips(made)
    assert [s.dot.at_ns for s in links] == [START, START + 2 * HOUR]
    shown = figure(
        made, "/charts/series.svg", {"metric": "m"}, lambda a, b: f"/traces?{a}-{b}", "m over time"
    )
    assert shown.strips[0].href == f"/traces?{START}-{START + HOUR}"
    assert "n 90" in shown.strips[0].tip
    assert "n = 180" in shown.caption
    assert shown.src("dark").endswith("theme=dark")


def test_it_draws_bars_for_every_bucket_and_marks_the_failed_part() -> None:
    drawn, top = bars([(0, 10, 5), (HOUR, 0, 0), (2 * HOUR, 1, 0)], 3600, 300, 50)
    assert top == 10
    assert [b.tall for b in drawn] == [50.0, 0.0, 5.0]
    assert drawn[0].marked == 25.0


def test_it_ships_no_inline_script_or_style() -> None:
    folder = Path(STATIC).parent / "templates"
    for path in folder.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=\s*[\"']|\|\s*safe\b|autoescape", text), (
            path.name
        )
        for tag in re.findall(r"<script[^>]*>", text):
            assert "src=" in tag, path.name


def test_of_two_deploys_close_to_each_other_both_are_named() -> None:
    """The last is named first, for it is what changed; the one before it then takes the other side, or its version alone."""
    day, end = 24 * HOUR, START + 720 * HOUR
    dots = [Dot(end - k * day, 8.0, 7.5, 8.5, 90) for k in range(30, 0, -1)]
    near = [Mark(end - 9 * day, "assistant 2026.03.1"), Mark(end - day, "support-answer v2")]
    crowd = [Mark(end - day * 15 - k, f"support-answer v{k}") for k in range(4)]

    def named(deploys: list[Mark], width: int) -> dict[str, bool]:
        chart = SeriesChart(dots, end - 30 * day, end, 86_400, deploys=deploys, width=width)
        texts = [
            v
            for layer in series(chart, "light")["layer"]
            if layer["mark"]["type"] == "text"
            for v in layer["data"]["values"]
        ]
        return {v["label"]: v["left"] for v in texts if v["label"]}

    assert named(near, 760) == {"assistant 2026.03.1": True, "support-answer v2": True}
    assert named(near, 380) == {"2026.03.1": True, "v2": True}
    assert named(crowd, 760) == {"support-answer v0": False, "support-answer v1": True}
