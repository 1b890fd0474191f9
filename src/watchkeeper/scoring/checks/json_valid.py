import re
from dataclasses import dataclass

import msgspec

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail

_FENCE = "```"
# An array of objects or texts shows in its beginning, one of numbers only as a whole: citations begin like it.
_ARRAY = re.compile(r"\[\s*(?:\{\s*[\"}]|\"(?:[^\"\\\n]|\\.)*\"\s*[,\]])")
_WHOLE_ARRAY = re.compile(r"\[\s*(?:[{\"\[\]]|-?\d[\d.eE+-]*\s*,)")

# An object in the spelling of Python or JavaScript, which no parser of JSON takes.
_MISSPELT = re.compile(
    r"\{\s*(?:'[^'\n]{0,80}'|[A-Za-z_]\w{0,60})\s*:\s*(?:['\"\[{]|-?\d|(?:true|false|null|None|True|False)\b)"
)


def unfence(text: str) -> str:
    """The text without a surrounding Markdown code fence or byte order mark; a fence of JSON may lack its end, where the
    answer was cut."""
    stripped = text.strip().removeprefix("\ufeff").lstrip()
    if not stripped.startswith(_FENCE) or len(stripped) <= 6:
        return stripped
    first_line, _, rest = stripped.partition("\n")
    if len(first_line) >= 20:
        return stripped
    if stripped.endswith(_FENCE):
        return rest[: -len(_FENCE)].strip()
    return rest.strip() if first_line.lower() == "```json" and _FENCE not in rest else stripped


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
        if not self.always and text.lstrip()[:1] not in ("{", "[", "`", "\ufeff"):
            return NotScored("the output does not look like JSON")
        body = unfence(text) if self.allow_fence else text.strip().removeprefix("\ufeff")
        if not self.always and not _looks_like_json(body):
            return NotScored("the output does not look like JSON")
        try:
            msgspec.json.decode(body.encode("utf-8", "surrogatepass"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return fail(f"not JSON: {error}", self.error_class)
        return PASS


def _looks_like_json(body: str) -> bool:
    """`{"…`, `{}`, `{'a': …}`, `[{…`, `["…`, `[1, …`: not `[1] see the manual` and not `[EMAIL]`."""
    if body.startswith("{"):
        return body[1:].lstrip()[:1] in ('"', "}") or (
            body.endswith("}") and _MISSPELT.match(body) is not None
        )
    return _ARRAY.match(body) is not None or (body.endswith("]") and _WHOLE_ARRAY.match(body) is not None)
