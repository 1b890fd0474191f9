"""An alert's chart as a PNG for messages: the same chart as its page, without a request behind it."""

from datetime import UTC
from types import SimpleNamespace
from typing import Any, cast

from watchkeeper.model.alert import Alert
from watchkeeper.server.routing import Call
from watchkeeper.store.columns import Columns
from watchkeeper.web.charts.spec import series
from watchkeeper.web.charts.theme import TOKENS, Theme
from watchkeeper.web.pages.alerts import alert_chart, around_alert
from watchkeeper.web.pages.charts import DRAWER
from watchkeeper.web.view import TimeRange, View


async def alert_picture(columns: Columns, alert: Alert, now_ns: int, theme: Theme = "light") -> bytes | None:
    """The chart of what an alert is about, current against baseline with deploys and the alert's span, as PNG.

    None when the alert names no series or nothing is stored of it. `columns` is read; nothing else is needed.
    """
    # Pages read through a view of a request; here there is none, only the store it would have led to.
    call = cast("Call", SimpleNamespace(services=SimpleNamespace(columns=columns, scorers=None)))
    nothing = TimeRange(0, 1, "", "")
    view = View(call, alert.project, "/", {}, now_ns, nothing, {}, "", "light", UTC)
    found = await alert_chart(around_alert(view, alert), alert)
    if found is None:
        return None
    spec: dict[str, Any] = series(found[1], theme)
    spec["background"] = TOKENS[theme]["surface"]
    return (await DRAWER.draw(spec, "png"))[0]
