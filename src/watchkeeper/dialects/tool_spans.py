"""What tools' own spans lack and the conversation around them holds: ids, arguments, results; and a call told twice, once."""

from typing import Any, cast

import msgspec

from watchkeeper.dialects import common, duplicates
from watchkeeper.dialects.values import as_text, decode, first
from watchkeeper.model.span import ErrorInfo, Message, Part, Span, Tool


def complete(ordered: list[Span]) -> None:
    """Ids, arguments and results that tools' own spans lack and the conversation around them holds.

    A tool was called with what the model gave, and returned what the next call was told; where a span has only a text,
    it may be the value of the single argument.
    """
    lacking = [s for s in ordered if s.tool is not None and (s.tool.call_id is None or _lacks(s.tool))]
    if not lacking:
        return
    calls: dict[Any, Part] = {}
    results: dict[str, Part] = {}
    named: dict[str | None, list[Part]] = {}
    for llm in (s.llm for s in ordered if s.llm is not None):
        for part in (p for m in (*llm.output_messages, *llm.input_messages) for p in m.parts):
            if part.type == "tool_result" and part.id:
                results.setdefault(part.id, part)
            elif part.type == "tool_call":
                if part.id and part.id not in calls:
                    named.setdefault(part.name, []).append(part)
                calls.setdefault(part.id, part)
                calls.setdefault(_only_value(part), part)
    _identify(ordered, named)
    for span in lacking:
        tool = span.tool
        if tool is None:
            continue
        known: Any = tool.arguments
        call = calls.get((tool.name, known) if isinstance(known, str) else tool.call_id or "")
        result = results.get(tool.call_id or "") if tool.result is None and tool.error is None else None
        if call is not None and not isinstance(known, dict | list):
            span.tool = tool = msgspec.structs.replace(tool, arguments=call.arguments)
        if result is not None:
            _returned(span, tool, result)
    _in_order(ordered, calls)
    _told_without_ids(ordered)


def _told_without_ids(ordered: list[Span]) -> None:
    """Results that a conversation tells beneath calls without ids (Google's) are those of the same calls, in order, where there are as many."""
    silent: dict[Any, list[Span]] = {}
    for span in ordered:
        if span.tool is not None and span.tool.result is None and span.tool.error is None:
            silent.setdefault(_call_key(span.tool.name, span.tool.arguments), []).append(span)
    if not silent:
        return
    told = [s.llm for s in ordered if s.llm is not None and s.llm.duplicate_of is None]
    found: dict[Any, list[Part]] = {}
    for call, result in _answers(max((llm.input_messages for llm in told), key=len, default=[])):
        if call.id is None:
            found.setdefault(_call_key(call.name, call.arguments), []).append(result)
    for key, spans in silent.items():
        results = found.get(key, [])
        for span, result in zip(spans, results, strict=False) if len(results) == len(spans) else ():
            if span.tool is not None:
                _returned(span, span.tool, result)


def _call_key(name: str | None, arguments: Any) -> tuple[str | None, str | bytes]:
    try:
        return name, msgspec.json.encode(arguments, order="deterministic")
    except (TypeError, ValueError):
        # What Python printed may hold what JSON has no form for: a complex number, half of a surrogate pair.
        return name, repr(arguments)


def _returned(span: Span, tool: Tool, result: Part) -> None:
    failure = common.tool_failure(result.result)
    span.tool = msgspec.structs.replace(tool, result=decode(result.result), error=failure)
    span.output_text = span.output_text or as_text(result.result)
    if failure is not None:
        span.error = span.error or ErrorInfo("tool_error", failure)


def _in_order(ordered: list[Span], calls: dict[Any, Part]) -> None:
    """Tools under ids that the conversation does not know (Google's ADK) ran its calls in order, where there are as many."""
    strange: dict[str | None, list[Span]] = {}
    for span in ordered:
        tool = span.tool
        if tool is not None and tool.call_id and tool.call_id not in calls and tool.arguments is None:
            strange.setdefault(tool.name, []).append(span)
    if not strange:
        return
    told = [s.llm for s in ordered if s.llm is not None and s.llm.duplicate_of is None]
    asked = [p for llm in told for m in llm.output_messages for p in m.parts if p.type == "tool_call"]
    answers = _answers(max((llm.input_messages for llm in told), key=len, default=[]))
    for name, spans in strange.items():
        given = [p for p in asked if p.name == name]
        found = [result for call, result in answers if call.name == name]
        for place, span in enumerate(spans if len(given) == len(spans) else ()):
            if span.tool is not None:
                span.tool = tool = msgspec.structs.replace(span.tool, arguments=given[place].arguments)
                if tool.result is None and tool.error is None and len(found) == len(spans):
                    _returned(span, tool, found[place])


def _answers(said: list[Message]) -> list[tuple[Part, Part]]:
    """The calls of a conversation, each with its result; ids may come again once they are answered."""
    waiting: list[Part] = []
    out: list[tuple[Part, Part]] = []
    for part in (p for m in said for p in m.parts):
        if part.type == "tool_call":
            waiting.append(part)
        elif part.type == "tool_result" and (call := next((c for c in waiting if c.id == part.id), None)):
            waiting.remove(call)
            out.append((call, part))
    return out


def _identify(ordered: list[Span], named: dict[str | None, list[Part]]) -> None:
    """Tools' spans without an id, in order, ran the calls of their name that no span claims, where there are as many."""
    tools = [s for s in ordered if s.tool is not None]
    claimed = {s.tool.call_id for s in tools if s.tool is not None}
    unnamed: dict[str | None, list[Span]] = {}
    for span in tools:
        if span.tool is not None and span.tool.call_id is None:
            unnamed.setdefault(span.tool.name, []).append(span)
    for name, spans in unnamed.items():
        told = named.get(name)
        if told is None and name and all(map(_is_request, spans)):
            # The model knows a server's tools under names that begin with the server's.
            told = [p for n, parts in named.items() if n and n.endswith(_under(name)) for p in parts]
        free = [p for p in told or () if p.id not in claimed]
        if len(free) == len(spans):
            for span, call in zip(spans, free, strict=True):
                if span.tool is None:
                    continue
                if _placed(span.tool.arguments, call.arguments):
                    span.tool = msgspec.structs.replace(span.tool, arguments=call.arguments)
                if span.tool.arguments in (None, call.arguments):
                    span.tool = msgspec.structs.replace(span.tool, call_id=call.id)


def _placed(given: Any, asked: Any) -> bool:
    """Whether a function got by place what the model asked for by name."""
    values = [*cast(dict[str, Any], asked).values()] if isinstance(asked, dict) else []
    return bool(values) and given == values


def _under(name: str) -> tuple[str, ...]:
    return tuple(separator + name for separator in "_-./:")


def _lacks(tool: Tool) -> bool:
    return not isinstance(tool.arguments, dict | list) or (tool.result is None and tool.error is None)


def _only_value(part: Part) -> tuple[str | None, str] | None:
    """The name of a call and the text that is its single argument, None for every other call."""
    given: Any = part.arguments
    if isinstance(given, dict) and len(cast(dict[str, Any], given)) == 1:
        only: Any = next(iter(cast(dict[str, Any], given).values()))
        return (part.name, only) if isinstance(only, str) else None
    return None


def once(ordered: list[Span]) -> None:
    """A tool that a request of the Model Context Protocol ran, or that two libraries tell, is one call: the outermost span's.

    The client's span, the server's and a framework's own lie within each other and name one tool; callbacks tell it side by
    side. The others stay in the trace as what they are beside that, and lend what only they know.
    """
    tools = {s.span_id: s for s in ordered if s.tool is not None}
    scopes = {s.raw.scope_name for s in tools.values() if s.raw is not None}
    names = {s.tool.name for s in tools.values() if s.tool is not None}
    if len(names) == len(tools):
        return
    spans = {s.span_id: s for s in ordered}
    nearest = duplicates.enclosing({s.span_id: s.parent_id for s in ordered}, tools)
    beneath: dict[str, list[Span]] = {}
    for inner in tools.values():
        outer = tools.get(nearest[inner.span_id] or "")
        if outer is not None and (_same_tool(outer, inner) or _is_step(outer, inner, spans)):
            beneath.setdefault(outer.span_id, []).append(inner)
    pairs = {told[0].span_id: outer_id for outer_id, told in beneath.items() if len(told) == 1}
    for span_id in pairs:
        outermost, seen = span_id, {span_id}
        while (outer_id := pairs.get(outermost)) is not None and outer_id not in seen:
            outermost = outer_id
            seen.add(outer_id)
        if outermost != span_id:
            _lend(tools[outermost], tools[span_id])
    if len(scopes) > 1:
        _beside([s for s in ordered if s.tool is not None])


def _beside(tools: list[Span]) -> None:
    """One call that two libraries tell at the same time, neither beneath the other."""
    alike: dict[tuple[str | None, str | bytes], list[Span]] = {}
    for span in tools:
        if span.tool is not None:
            alike.setdefault(_call_key(span.tool.name, span.tool.arguments), []).append(span)
    for group in alike.values():
        known: dict[str, Span] = {}
        for span in group:
            identity = span.tool.call_id if span.tool is not None else None
            first_told = known.setdefault(identity, span) if identity else span
            if first_told is not span and _same_tool(first_told, span):
                _lend(first_told, span)
        for at, outer in enumerate(group):
            for inner in group[at + 1 :]:
                if inner.start_ns >= outer.end_ns or outer.tool is None:
                    break
                if duplicates.at_once(outer, inner) and _same_tool(outer, inner):
                    _lend(outer, inner)


def _lend(outer: Span, inner: Span) -> None:
    """`outer` carries the call that `inner` tells too."""
    if inner.tool is not None and outer.tool is not None:
        outer.tool = _lent(outer.tool, inner.tool)
        outer.input_text = outer.input_text or inner.input_text
        outer.output_text = outer.output_text or inner.output_text
        inner.kind, inner.tool = "other", None


def _is_request(span: Span) -> bool:
    """Whether a span is one end of a request of the Model Context Protocol."""
    if span.raw is None:
        return False
    told = span.raw.attributes
    method = first(told, "mcp.method.name", "rpc.method")
    return (
        method == "tools/call"
        or "mcp.tool.name" in told
        or span.raw.scope_name.startswith("opentelemetry.instrumentation.mcp")
    )


def _same_tool(outer: Span, inner: Span) -> bool:
    one, other = outer.tool, inner.tool
    if one is None or other is None or one.name != other.name or not _are_apart(outer, inner):
        return False
    if None not in (one.call_id, other.call_id) and one.call_id != other.call_id:
        return False
    return None in (one.arguments, other.arguments) or one.arguments == other.arguments


def _is_step(outer: Span, inner: Span, spans: dict[str, Span]) -> bool:
    """Whether a tool's span that says nothing but its name is a step of the one around it, with nothing of note between."""
    if outer.tool is None or inner.tool is None or outer.tool.name != inner.tool.name:
        return False
    if any(v is not None for v in (inner.tool.call_id, inner.tool.arguments, inner.tool.result)):
        return False
    above = spans.get(inner.parent_id or "")
    while above is not None and above is not outer and above.kind == "other":
        above = spans.get(above.parent_id or "")
    return above is outer


def _are_apart(outer: Span, inner: Span) -> bool:
    """Whether two spans may tell one call: a library alone tells its calls once."""
    if outer.raw is None or inner.raw is None or _is_request(outer) or _is_request(inner):
        return outer.raw is not None and inner.raw is not None
    return outer.raw.scope_name != inner.raw.scope_name


def _lent(tool: Tool, inner: Tool) -> Tool:
    return Tool(
        tool.name,
        tool.call_id or inner.call_id,
        inner.arguments if tool.arguments is None else tool.arguments,
        inner.result if tool.result is None else tool.result,
        tool.error or inner.error,
    )
