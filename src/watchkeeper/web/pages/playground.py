"""The judge playground: a rubric on stored traces, two versions side by side."""

from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from watchkeeper.scoring.judges.rubrics import RUBRICS
from watchkeeper.server.api.playground import Trial, tried
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import view_of

FIELDS = ("model_a", "rubric_a", "prompt_a", "model_b", "rubric_b", "prompt_b", "where", "back", "n", "own")


def _trial(form: dict[str, str], confirm: bool) -> Trial | None:
    """The trial the form describes, None when it is empty. Raises `HttpError` 400."""
    versions: list[dict[str, Any]] = []
    for side in ("a", "b"):
        if not form.get(f"model_{side}"):
            continue
        own = form.get(f"prompt_{side}") or None
        rubric = None if own else form.get(f"rubric_{side}") or None
        how = "allow" if form.get("own") else "refuse"
        versions.append(
            {"model": form[f"model_{side}"], "rubric": rubric, "prompt": own, "self_judging": how}
        )
    if not versions:
        return None
    try:
        return Trial.model_validate(
            {
                "versions": versions, "since": form.get("back") or "7d", "where": form.get("where") or None,
                "n": int(form.get("n") or 10), "confirm": confirm,
            }
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise HttpError(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "") from None
    except ValueError:
        raise HttpError(400, "traces: a whole number is expected", "") from None


async def _page(call: Call, form: dict[str, str], confirm: bool) -> Response:
    found, wrong = None, None
    if call.may("editor"):
        try:
            trial = _trial(form, confirm)
            found = await tried(call, trial) if trial else None
        except HttpError as error:
            wrong = f"{error.error} {error.hint}".strip()
    context = {
        "form": form,
        "found": found,
        "wrong": wrong,
        "rubrics": [(r.name, r.summary) for r in RUBRICS],
    }
    return await answer(view_of(call), "scorers", "Playground", "playground.html", context)


@route("GET", "/playground", permission="viewer")
async def page(call: Call) -> Response:
    """The form, and what the trial it describes would cost."""
    view = view_of(call)
    return await _page(call, {k: view.params[k] for k in FIELDS if view.params.get(k)}, False)


@route("POST", "/playground", permission="editor", kind="page")
async def run(call: Call) -> Response:
    """Ask the models, and show what they say side by side."""
    return await _page(call, {k: v for k, v in (await form_of(call)).items() if k in FIELDS}, True)
