"""What several scorers read out of a subject, worked out once per subject and kept in its `extra`."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from watchkeeper.model.score import Subject
from watchkeeper.model.sensitive import Found
from watchkeeper.model.span import LLM, Message, Span
from watchkeeper.scoring.lazy import lazy
from watchkeeper.scoring.texts import Texts, squeeze, words

_KEY = "_facts"
__all__ = ["Facts", "ToolRun", "as_text", "facts", "squeeze", "tool_schema", "words"]


class ToolRun(msgspec.Struct, gc=False):
    """One tool call with its outcome. `result` None: not known; `error` the tool's or the client's own words."""

    name: str | None
    call_id: str | None
    arguments: Any
    result: Any
    error: str | None
    where: str


def as_text(value: Any) -> str:
    """A value as the text a model would have seen."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, UnicodeEncodeError):
        return str(value)


class Facts(Texts):
    """Lazy views of one subject."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject.input_text, subject.output_text)
        self._trace = subject.trace
        self._span = subject.span
        self._sensitive: tuple[Callable[[str], Sequence[Found]], Sequence[Found]] | None = None

    @lazy
    def spans(self) -> list[Span]:
        """The span itself for a span subject, else every span of the trace."""
        return [self._span] if self._span is not None else self._trace.spans

    @lazy
    def llm(self) -> list[tuple[Span, LLM]]:
        """The provider calls, each once."""
        return [
            (s, s.llm)
            for s in self.spans
            if s.kind == "llm" and s.llm is not None and s.llm.duplicate_of is None
        ]

    @lazy
    def system(self) -> list[str]:
        """The distinct system prompts."""
        return list({c.system: None for _, c in self.llm if c.system})

    @lazy
    def tool_runs(self) -> list[ToolRun]:
        """Tool executions: the tool spans, or where there are none what the conversation shows since the last user
        message (earlier turns belong to earlier traces)."""
        runs = [
            ToolRun(
                s.tool.name or s.name,
                s.tool.call_id,
                s.tool.arguments,
                s.tool.result,
                s.tool.error or _span_error(s),
                s.name,
            )
            for s in self.spans
            if s.kind == "tool" and s.tool is not None
        ]
        return runs if runs or not self.llm else _runs_of_conversation(*self.llm[-1])

    @lazy
    def requested(self) -> list[ToolRun]:
        """Tool calls that models asked for, with the name of the span that asked."""
        return [
            ToolRun(c.name, c.id, c.arguments, None, None, span.name)
            for span, llm in self.llm
            for c in llm.tool_calls
        ]

    @lazy
    def definitions(self) -> dict[str, dict[str, Any]]:
        """Tool name to JSON Schema of its arguments, from the tool definitions sent to the model."""
        found: dict[str, dict[str, Any]] = {}
        for _, llm in self.llm:
            for definition in llm.tool_definitions:
                name, schema = tool_schema(definition)
                if name:
                    found[name] = schema
        return found

    def _evidence(self) -> list[str]:
        """Retrieved documents, else tool results."""
        spans = self._trace.spans
        documents = [d.content for s in spans if s.retrieval is not None for d in s.retrieval.documents]
        texts = [d for d in documents if d]
        return texts or [t for t in (as_text(r.result) for r in self.tool_runs) if t]

    def sensitive(self, find: Callable[[str], Sequence[Found]]) -> Sequence[Found]:
        """What `find` says about the output; several checks ask, it is looked at once."""
        if self._sensitive is None:
            self._sensitive = (find, find(self.output or ""))
        return self._sensitive[1] if self._sensitive[0] is find else find(self.output or "")

    @lazy
    def untrusted(self) -> list[str]:
        """Texts that came from outside: the input, retrieved documents and tool results."""
        spans = self.spans
        out = [self.input] if self.input else []
        out += [
            d.content for s in spans if s.retrieval is not None for d in s.retrieval.documents if d.content
        ]
        out += [t for t in (as_text(r.result) for r in self.tool_runs) if t]
        return out


def facts(subject: Subject) -> Facts:
    """The facts of a subject, made on first use."""
    known: Facts | None = subject.extra.get(_KEY)
    if known is None:
        # A shared default dictionary must not carry one trace's facts into another.
        known = Facts(subject)
        subject.extra = {**subject.extra, _KEY: known}
    return known


def _span_error(span: Span) -> str | None:
    if span.error is not None:
        return span.error.message or span.error.raw_type or span.error.class_
    return "the span ended with status error" if span.status == "error" else None


_SCHEMAS = (
    "parameters", "input_schema", "inputSchema", "parameters_json_schema", "parametersJsonSchema", "schema", "args_schema", "argsSchema",
)  # fmt: skip


def tool_schema(definition: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Name and argument schema of a tool definition in any provider's spelling."""
    body = definition.get("function") or definition.get("toolSpec")
    inner = cast("dict[str, Any]", body) if isinstance(body, dict) else definition
    said = inner.get("name")
    name = said if isinstance(said, str) else None
    for key in _SCHEMAS:
        schema = inner.get(key)
        if isinstance(schema, str):
            try:
                schema = msgspec.json.decode(schema)
            except msgspec.DecodeError:
                continue
        if isinstance(schema, dict):
            told = cast("dict[str, Any]", schema)
            # Bedrock puts the schema one level deeper.
            return name, told["json"] if isinstance(told.get("json"), dict) else told
    listed = inner.get("parameter_definitions")
    if isinstance(listed, dict):
        fields = cast("dict[str, Any]", listed)
        needed = [k for k, v in fields.items() if isinstance(v, dict) and v.get("required") is True]  # pyright: ignore[reportUnknownMemberType]
        return name, {"type": "object", "properties": fields, "required": needed}
    return name, {}


def _since_last_user(messages: list[Message]) -> list[Message]:
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "user" and any(p.type == "text" for p in messages[index].parts):
            return messages[index + 1 :]
    return messages


def _runs_of_conversation(span: Span, llm: LLM) -> list[ToolRun]:
    runs: dict[str, ToolRun] = {}
    for position, message in enumerate(_since_last_user(llm.input_messages)):
        for number, part in enumerate(message.parts):
            key = part.id or f"{position}.{number}"
            if part.type == "tool_call":
                runs[key] = ToolRun(part.name, part.id, part.arguments, None, None, span.name)
            elif part.type == "tool_result":
                result = part.result if part.result is not None else part.text
                run = runs.get(key)
                if run is None:
                    run = runs[f"r{key}"] = ToolRun(part.name, part.id, None, None, None, span.name)
                run.result = result
                if isinstance(part.raw, dict) and part.raw.get("status") == "error":
                    run.error = as_text(result)[:200] or "the tool reported an error"
    return list(runs.values())
