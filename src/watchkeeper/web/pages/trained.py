"""Classifiers trained from labels: their versions beside the judge they stand in for, and which of them runs."""

from typing import Any

from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.trained import Trained
from watchkeeper.server.api.trained import Run, Train, begin, put
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import trained
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.twin import figure
from watchkeeper.web.view import view_of

VERDICTS = {
    "as_good": ("good", "as good as its judge"),
    "worse": ("bad", "worse than its judge"),
    "unclear": ("warn", "not shown to be as good"),
    "no_judge": ("", "not compared with a judge"),
}
STATES = {
    "active": ("good", "decides"),
    "measuring": ("", "measures"),
    "candidate": ("", "runs nowhere"),
    "retired": ("", "stopped"),
}


def _row(one: Trained) -> dict[str, Any]:
    """A version as the page shows it."""
    c = one.comparison
    d = c.difference
    return {
        "one": one,
        "state": STATES[one.state],
        "verdict": VERDICTS[c.verdict],
        "right": figure(c.agreement, "share"),
        "bad": figure(c.recall_bad, "share", "no bad answer is held out"),
        "good": figure(c.recall_good, "share", "no good answer is held out"),
        "auroc": figure(c.auroc, "", "one kind of answer only"),
        "judge": figure(c.judge_agreement, "share", "the judge has judged too few of them"),
        "difference": None if d is None else Estimate(100 * d.value, 100 * d.low, 100 * d.high, d.n),
    }


@route("GET", "/trained", permission="viewer")
async def page(call: Call) -> Response:
    """Every version of every trained classifier, the newest of each first."""
    view = view_of(call, "7d")
    found = await call.services.records.read(lambda c: trained.versions(c, view.project))
    scorers = call.services.scorers
    judges = (
        [] if scorers is None else [s.name for s in scorers.scorers_of(view.project) if s.kind == "judge"]
    )
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        by_name.setdefault(one.name, []).append(_row(one))
    context = {"classifiers": by_name, "judges": judges, "said": view.params.get("said", "")[:500]}
    return await answer(view, "scorers", "Trained classifiers", "trained.html", context)


def _given(form: dict[str, str]) -> Train:
    """What the form asks to train. Raises `HttpError` 400."""
    try:
        floor = float(form["floor"]) if form.get("floor") else None
        return Train(name=form.get("name", ""), judge=form.get("judge") or None, floor=floor)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        raise HttpError(400, f"name: {error.errors()[0]['msg']}", "letters, digits, _ and -") from None
    except ValueError:
        raise HttpError(400, "floor: a number is needed", "on the judge's own scale") from None


@route("POST", "/trained", permission="editor", kind="page")
async def train(call: Call) -> Response:
    """Train the next version and compare it."""
    made = await begin(call, _given(await form_of(call)))
    said = f"{made.name} version {made.version} is trained on {made.trained_on} answers. It runs nowhere yet."
    return RedirectResponse(view_of(call).url("/trained", said=said), 303)


@route("POST", "/trained/{name}/{version}", permission="editor", kind="page")
async def run(call: Call) -> Response:
    """Let a version decide, measure, or stop."""
    view = view_of(call)
    try:
        action = Run.model_validate({"action": (await form_of(call)).get("action", "")}).action
    except ValidationError:
        raise HttpError(400, "that cannot be done with a version", "decide, measure or stop") from None
    try:
        made = await put(call, action)
        said = f"{made.name} version {made.version} {STATES[made.state][1]}."
    except HttpError as error:
        if error.status != 409:
            raise
        said = f"{error.error} {error.hint}".strip()
    return RedirectResponse(view.url("/trained", said=said), 303)
