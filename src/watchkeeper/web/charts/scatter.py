"""Two metrics of the same traces as points."""

from collections.abc import Sequence
from typing import Any

from watchkeeper.web.charts.spec import PAD, SCHEMA, axis_format
from watchkeeper.web.charts.theme import TOKENS, Theme, config


def scatter(
    points: Sequence[tuple[float, float]], x: str, y: str, theme: Theme, width: int = 560, height: int = 260
) -> dict[str, Any]:
    """The Vega-Lite specification; points are see-through, so that where they pile up is seen."""
    c = TOKENS[theme]
    opacity = 0.7 if len(points) < 200 else 0.35
    axis = {"type": "quantitative", "scale": {"zero": False}}
    return {
        "$schema": SCHEMA,
        "width": width - PAD["left"] - PAD["right"],
        "height": height - PAD["top"] - PAD["bottom"] - 16,
        "autosize": {"type": "none"},
        "padding": {**PAD, "bottom": PAD["bottom"] + 16},
        "config": config(theme),
        "data": {"values": [{"x": a, "y": b} for a, b in points]},
        "mark": {
            "type": "point",
            "filled": True,
            "size": 18,
            "color": c["accent"],
            "opacity": opacity,
            "clip": True,
        },
        "encoding": {
            "x": {"field": "x", **axis, "axis": {"title": x, **axis_format()}},
            "y": {"field": "y", **axis, "axis": {"title": y, **axis_format(), "titleAnchor": "end"}},
        },
    }
