import re
from dataclasses import dataclass

import msgspec

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail

_FENCE = "```"
_ARRAY = re.compile(r"\[\s*(?:[{\"\[\]]|-?\d[\d.eE+-]*\s*,)")


def unfence(text: str) -> str:
    """The text without a surrounding Markdown code fence."""
    stripped = text.strip()
    if not (stripped.startswith(_FENCE) and stripped.endswith(_FENCE) and len(stripped) > 6):
        return stripped
    first_line, _, rest = stripped.partition("\n")
    return rest[: -len(_FENCE)].strip() if len(first_line) < 20 else stripped


@dataclass(frozen=True, kw_only=True)
class JsonValid(Check):
    """The output parses as JSON.

    always: judge every output; False judges only outputs that start like a JSON object or array.
    allow_fence: accept a surrounding Markdown code fence.
    """

    type = "json_valid"
    row = "C1"
    summary = "The output is valid JSON (by default judged only where it starts like JSON)."
    error_class = "invalid_output"
    default = True
    example = {"always": True, "allow_fence": False}

    always: bool = False
    allow_fence: bool = True

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if text is None:
            return NotScored("no output recorded")
        if not self.always and text.lstrip()[:1] not in ("{", "[", "`"):
            return NotScored("the output does not look like JSON")
        body = unfence(text) if self.allow_fence else text.strip()
        if not self.always and not _looks_like_json(body):
            return NotScored("the output does not look like JSON")
        try:
            msgspec.json.decode(body.encode("utf-8", "surrogatepass"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return fail(f"not JSON: {error}", self.error_class)
        return PASS


def _looks_like_json(body: str) -> bool:
    """`{"…`, `{}`, `[{…`, `["…`, `[1, …`: not `[1] see the manual` and not `[EMAIL]`."""
    if body.startswith("{"):
        return body[1:].lstrip()[:1] in ('"', "}")
    return body.endswith("]") and _ARRAY.match(body) is not None
