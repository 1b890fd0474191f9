"""One question to a judge's model: a reply that does not fit is sent back once with what is wrong."""

from collections.abc import Callable, Generator
from typing import TypeVar

import msgspec

from watchkeeper.model.prompt import Prompt, Reply, Turn
from watchkeeper.model.score import Failed
from watchkeeper.scoring.judges.parse import BadReply

REPAIRS = 1
# What providers call the end of a reply that came to its limit, and of one that was stopped or never given.
CUT = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
)
FILTERED = frozenset({"content_filter", "safety", "guardrail_intervened"})
REFUSED = "refusal"

T = TypeVar("T")


def asked(
    prompt: Prompt, read: Callable[[str], T]
) -> Generator[Prompt, Reply, tuple[T, float | None] | Failed]:
    """What `read` makes of the reply, and what all replies cost. `read` raises `BadReply` for one that does not fit."""
    cost: float | None = None
    wrong = advice = ""
    first = prompt
    for _ in range(1 + REPAIRS):
        reply = yield prompt
        cost = reply.cost if cost is None else cost + (reply.cost or 0.0)
        try:
            return read(reply.text), cost
        except BadReply as error:
            wrong, advice = _wrong(reply, str(error), prompt.max_tokens)
        again = f"That cannot be used: {wrong[:300]}. Reply again with the JSON object only."
        turns = (first.turns[0], Turn("assistant", reply.text[:4000] or "(empty)"), Turn("user", again))
        prompt = msgspec.structs.replace(first, turns=turns)
    return Failed(f"the judge's reply cannot be used: {wrong}"[:400] + advice)


def _wrong(reply: Reply, error: str, most: int) -> tuple[str, str]:
    """Why a reply does not fit, and what whoever runs the judge can do. How it ended says more than where its JSON breaks off."""
    ended = (reply.finish_reason or "").lower()
    if ended in CUT:
        return "it was cut off at its token limit", f"; raise the judge's max_tokens ({most})"
    if ended in FILTERED:
        return "the provider's content filter stopped it", ""
    if ended == REFUSED:
        return f"the model refuses: {reply.text.strip()[:200] or 'it says no more'}", ""
    return ("it is empty" if not reply.text.strip() else error), ""
