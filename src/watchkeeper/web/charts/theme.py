"""The one chart theme. Its colours are the tokens of `static/tokens.css`; a test holds the two together."""

from typing import Any, Final, Literal

Theme = Literal["light", "dark"]

TOKENS: Final[dict[str, dict[str, str]]] = {
    "light": {
        "surface": "#ffffff",
        "line": "#e4e6eb",
        "text": "#171a21",
        "muted": "#5a6170",
        "accent": "#2a5bd7",
        "good": "#1a7341",
        "warn": "#8a5600",
        "bad": "#bf2c2c",
    },
    "dark": {
        "surface": "#15181e",
        "line": "#2a2f38",
        "text": "#e8eaef",
        "muted": "#9ba3b2",
        "accent": "#83a8ff",
        "good": "#4fc38c",
        "warn": "#eeb13c",
        "bad": "#ff8078",
    },
}
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, Inter, 'Helvetica Neue', Arial, sans-serif"


def config(theme: Theme) -> dict[str, Any]:
    """The Vega-Lite `config` of a theme: quiet grid, no frame, small muted labels."""
    c = TOKENS[theme]
    return {
        "background": None,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": c["muted"],
            "labelFontSize": 11,
            "labelPadding": 6,
            "titleColor": c["muted"],
            "titleFontSize": 11,
            "titleFontWeight": "normal",
            "gridColor": c["line"],
            "domainColor": c["line"],
            "tickColor": c["line"],
            "tickSize": 4,
        },
        "axisY": {"domain": False, "ticks": False, "tickCount": 4},
        "axisX": {"grid": False, "tickCount": 7, "labelOverlap": True, "labelFlush": False, "labelBound": 12},
        "text": {"color": c["text"], "fontSize": 11},
    }
