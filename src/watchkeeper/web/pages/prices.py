"""Prices: what a call costs by which table, the models without a price, and stored costs made again."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import RedirectResponse, Response

from watchkeeper.dialects import pricing
from watchkeeper.dialects.pricing import Price
from watchkeeper.server.api import prices as api
from watchkeeper.server.routing import Call, route
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import view_of

PERIODS: Final = {
    "": "everything stored",
    "1d": "the last day",
    "7d": "the last 7 days",
    "30d": "the last 30 days",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One model of the price table; `own`: the configuration's price, not the built-in one."""

    provider: str
    model: str
    price: Price
    own: bool


def lines() -> list[Line]:
    """The price table in force, by provider and model."""
    shipped = pricing.default_table().models
    return [
        Line(provider, model, price, shipped.get(provider, {}).get(model) != price)
        for provider, models in sorted(pricing.in_force().models.items())
        for model, price in sorted(models.items())
    ]


@route("GET", "/settings/prices", permission="viewer")
async def prices(call: Call) -> Response:
    """The price table in force, what it does not know, and how far a recompute is."""
    view = view_of(call, "30d")
    context = {
        "version": pricing.in_force().version,
        "lines": lines(),
        "unknown": await api.unpriced(call, view.range.since_ns, view.range.until_ns),
        "run": await call.services.reprice.current(call.project) if call.services.reprice else None,
        "can": call.services.reprice is not None and call.may("editor"),
        "periods": PERIODS,
    }
    return await answer(view, "settings", "Prices", "settings_prices.html", context)


@route("POST", "/settings/prices/recompute", permission="editor", kind="page")
async def recompute(call: Call) -> Response:
    """Begin to make stored costs again; the page tells how far it is."""
    call.body = api.Again(since=(await form_of(call)).get("since"), until=None)
    await api.recompute(call)
    return RedirectResponse(view_of(call).url("/settings/prices"), 303)
