"""Names of failures: those in use, and those that reviewers' comments call for."""

from starlette.responses import RedirectResponse, Response

from watchkeeper.server.api.taxonomy import Accepted, accept, known, merge, suggested
from watchkeeper.server.routing import Call, HttpError, route, sent_form
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import view_of


@route("GET", "/taxonomy", permission="viewer")
async def names(call: Call) -> Response:
    """What is called what, how often, and what could be."""
    view = view_of(call, "30d")
    found = await suggested(call) if call.may("reviewer") and call.sees_content else None
    context = {"names": await known(call), "found": found}
    return await answer(view, "review", "Names of failures", "taxonomy.html", context)


async def _form(call: Call) -> tuple[dict[str, str], list[str], list[str]]:
    form = await sent_form(call.request)
    plain = {k: v.strip() for k, v in form.items() if isinstance(v, str)}
    chosen = [v for v in form.getlist("names") if isinstance(v, str)]
    return plain, chosen, [v for v in form.getlist("labels") if isinstance(v, str)]


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > 255 or not name.isprintable():
        raise HttpError(400, "that is no name for a failure", "one line of up to 255 characters")
    return name


@route("POST", "/taxonomy/accept", permission="reviewer", kind="page")
async def accepting(call: Call) -> Response:
    """Take a proposed name into use."""
    form, _, labels = await _form(call)
    given = Accepted(
        name=_name(form.get("name", "")), definition=form.get("definition", "")[:20_000], labels=labels
    )
    await accept(call, given)
    return RedirectResponse(view_of(call).url("/taxonomy", done="accepted"), 303)


@route("POST", "/taxonomy/merge", permission="editor", kind="page")
async def merging(call: Call) -> Response:
    """Rename one name, or make several one."""
    form, chosen, _ = await _form(call)
    if not chosen:
        raise HttpError(400, "no name is chosen", "tick the names that become one")
    await merge(call, chosen, _name(form.get("into", "")), form.get("definition") or None)
    return RedirectResponse(view_of(call).url("/taxonomy", done="renamed"), 303)
