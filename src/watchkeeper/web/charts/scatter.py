"""Two metrics of the same traces as points."""

from collections.abc import Sequence
from typing import Any, Final

from watchkeeper.web.charts.spec import PAD, SCHEMA, axis_format
from watchkeeper.web.charts.theme import TOKENS, Theme, config
from watchkeeper.web.metrics import UNITS

# Values that reach this many times as far as most of them do are shown on a scale of ratios: else all but one lie on the axis.
FAR: Final = 10.0


def _scale(values: Sequence[float]) -> dict[str, Any]:
    """The scale of one axis: linear, unless all values are positive and a few lie far beyond the others."""
    ordered = sorted(values)
    if ordered and ordered[0] > 0 and ordered[-1] > FAR * ordered[int(0.9 * (len(ordered) - 1))]:
        return {"type": "log", "nice": False}
    return {"zero": False}


def scatter(
    points: Sequence[tuple[float, float]], x: str, y: str, theme: Theme, width: int = 560, height: int = 260
) -> dict[str, Any]:
    """The Vega-Lite specification; points are see-through, so that where they pile up is seen."""
    c = TOKENS[theme]
    opacity = 0.7 if len(points) < 200 else 0.35

    def axis(field: str, values: Sequence[float], name: str, **more: Any) -> dict[str, Any]:
        written = axis_format(UNITS.get(name, ""), max(values, default=1.0))
        return {
            "field": field,
            "type": "quantitative",
            "scale": _scale(values),
            "axis": {"title": name, "labelOverlap": True, **written, **more},
        }

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
            "x": axis("x", [a for a, _ in points], x),
            "y": axis("y", [b for _, b in points], y, titleAnchor="end"),
        },
    }
