"""What every client shares: exceptions, HTTP status, evaluation and guardrail events, documents, sampling."""

import re
from datetime import datetime
from typing import Any, cast

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.messages import is_message, result_of
from watchkeeper.dialects.unwrap import called_with
from watchkeeper.dialects.values import (
    as_bool,
    as_dict,
    as_float,
    as_int,
    as_list,
    as_text,
    decode,
    first,
    said,
    unfold,
    untraced,
    word,
)
from watchkeeper.model.span import Document, Evaluation, RawEvent

_ERROR_KEYS = (
    "error.message",
    "langfuse.observation.status_message",
    "error_message",
    "gen_ai.error.message",
)
STATUS_KEYS = (
    "http.response.status_code", "http.status_code", "error.code", "gen_ai.response.status_code", "gen_ai.error.code",
    "error.status_code",
)  # fmt: skip
# Words for it only on a span that failed.
_FAILED_TYPES = ("gen_ai.error.type", "exception.type", "error_type", "error.name", "error.kind")
_FAILED_MESSAGES = ("gen_ai.error", "exception.message", "error")


# What is said where the class of what was raised is not known.
_NO_TYPES = ("_OTHER", "unknown")
EXCEPTIONS = frozenset(("exception", "gen_ai.client.operation.exception"))


def errors(draft: Draft, attributes: dict[str, Any], happened: list[RawEvent]) -> None:
    """Error type, message and status from attributes and from what was raised, told as events or as records."""
    kind = word(attributes.get("error.type"))
    if draft.failed and kind is None:
        kind = word(first(attributes, *_FAILED_TYPES))
    if kind and kind not in _NO_TYPES:
        draft.error_type = draft.error_type or kind
    draft.error_message = draft.error_message or as_text(first(attributes, *_ERROR_KEYS))
    if draft.failed and draft.error_message is None and draft.raw.status_message is None:
        told = first(attributes, *_FAILED_MESSAGES)
        draft.error_message = _message(told) if isinstance(told, str) else None
    if draft.failed or kind:
        status = as_int(first(attributes, *STATUS_KEYS))
        draft.error_status = draft.error_status or status
    for event in happened:
        if event.name in EXCEPTIONS:
            values = event.attributes
            draft.error_type = draft.error_type or word(values.get("exception.type"))
            draft.error_message = draft.error_message or _message(values.get("exception.message"))
            if draft.kind == "llm" and not draft.outputs and draft.output_text is None:
                # Some clients record what was raised and call the span ok.
                draft.failed = True
        elif event.name == "ExceptionRaised":
            # Agent Spec's, whose spans have no status.
            draft.failed = True
            draft.error_type = draft.error_type or word(event.attributes.get("exception_type"))
            draft.error_message = draft.error_message or _message(event.attributes.get("exception_message"))


def _message(value: Any) -> str | None:
    """An exception's message without the traceback some clients append to it."""
    text = as_text(value)
    if text is None:
        return None
    return untraced(text)


def evaluation_event(draft: Draft, attributes: dict[str, Any], time_ns: int = 0) -> None:
    """One `gen_ai.evaluation.result` made at a time (0: unknown); the same result sent twice (span event and log) counts once."""
    name = word(first(attributes, "gen_ai.evaluation.name", "evaluation.name"))
    if name is None:
        return
    made = Evaluation(
        name,
        as_float(
            first(attributes, "gen_ai.evaluation.score.value", "gen_ai.evaluation.score", "evaluation.score")
        ),
        word(
            first(attributes, "gen_ai.evaluation.score.label", "gen_ai.evaluation.label", "evaluation.label")
        ),
        as_text(first(attributes, "gen_ai.evaluation.explanation", "evaluation.explanation")),
        draft.raw.span_id,
        word(attributes.get("gen_ai.response.id")),
        word(first(attributes, "watchkeeper.score.author", "gen_ai.evaluation.author")),
        word(attributes.get("watchkeeper.score.version")),
        as_bool(attributes.get("watchkeeper.score.passed")),
        time_ns or None,
        word(attributes.get("watchkeeper.score.source")),
    )
    said = (made.name, made.value, made.label)
    for known in draft.evaluations:
        # Two people who agree are two.
        authors = {known.author, made.author} - {None}
        if (known.name, known.value, known.label) == said and len(authors) < 2:
            known.author = known.author or made.author
            known.explanation = known.explanation or made.explanation
            known.response_id = known.response_id or made.response_id
            known.scored_ns = min(filter(None, (known.scored_ns, made.scored_ns)), default=None)
            known.source = known.source or made.source
            return
    draft.evaluations.append(made)


def rate(made: Evaluation, score: Any) -> None:
    """Give an evaluation its score: a number, or yes or no."""
    made.value = as_float(score)
    if isinstance(score, bool):
        made.value, made.passed = float(score), score


def verdicts(draft: Draft, result: Any) -> None:
    """The scores that an evaluator returned: an object or several, each with its name and a score or a label."""
    if draft.evaluations:
        return
    listed = as_list(result)
    for item in [result] if listed is None else listed:
        told = as_dict(item) or {}
        name, score, label = word(told.get("name")), told.get("score"), word(told.get("label"))
        made = Evaluation(name or draft.raw.name, label=label, span_id=draft.raw.span_id)
        rate(made, score)
        made.explanation = as_text(first(told, "explanation", "reason", "reasoning"))
        if made.value is not None or (name and label):
            draft.evaluations.append(made)


def guardrail_values(draft: Draft, attributes: dict[str, Any]) -> None:
    """The attributes of a `gen_ai.guardrail.result` event or an `apply_guardrail` span."""
    name = first(
        attributes, "gen_ai.guardrail.component.name", "gen_ai.guardrail.name", "gen_ai.guardrail.policy.name"
    )
    draft.guardrail_name = draft.guardrail_name or word(name)
    result = first(attributes, "gen_ai.guardrail.result.value", "gen_ai.guardrail.result.type")
    draft.guardrail_result = draft.guardrail_result or word(result)
    triggered = as_bool(attributes.get("gen_ai.guardrail.triggered"))
    if triggered is not None:
        _outcome(draft, triggered)


def flag(draft: Draft, name: str | None, value: Any) -> None:
    """A feature flag's value under `feature_flag.NAME`, where sampling strata and pages find it."""
    if name and value is not None:
        draft.metadata.setdefault(f"feature_flag.{name}", as_text(value))


def flag_evaluation(draft: Draft, attributes: dict[str, Any]) -> None:
    """OpenTelemetry's evaluation of a feature flag, as attributes of a span or as an event."""
    value = first(
        attributes,
        "feature_flag.result.variant",
        "feature_flag.variant",
        "feature_flag.result.value",
        "value",
    )
    flag(draft, word(attributes.get("feature_flag.key")), value)


_PASS = frozenset(("pass", "passed", "allow", "allowed", "ok", "safe", "none", "false", "no"))
_FAIL = frozenset(
    ("fail", "failed", "block", "blocked", "deny", "denied", "unsafe", "triggered", "true", "reject")
)


def guardrail_outcome(draft: Draft, output: Any) -> None:
    """What a guardrail's output says: a boolean, a word, or an object with a verdict under a usual name."""
    value = decode(output)
    table = as_dict(value)
    if table is not None:
        for key, inverted in (("passed", True), ("allowed", True), ("safe", True), ("valid", True), ("success", True),
                              ("triggered", False), ("tripwire_triggered", False), ("blocked", False),
                              ("flagged", False), ("failed", False)):  # fmt: skip
            verdict = as_bool(table.get(key))
            if verdict is not None:
                _outcome(draft, (not verdict) if inverted else verdict)
                return
        value = first(table, "result", "verdict", "action", "decision", "outcome", "status")
    text = value.strip().lower() if isinstance(value, str) else value
    if text is True or (isinstance(text, str) and text in _FAIL):
        _outcome(draft, text is not True)
    elif text is False or (isinstance(text, str) and text in _PASS):
        _outcome(draft, text is False)


def _outcome(draft: Draft, triggered: bool) -> None:
    if draft.guardrail_triggered is None:
        draft.guardrail_triggered = triggered
    draft.guardrail_result = draft.guardrail_result or ("fail" if triggered else "pass")


def documents(value: Any) -> list[Document] | None:
    """Retrieved documents from any list of them; None when `value` is not one.

    Understood: {id, score, content}, LangChain's {page_content, metadata, id} and constructors, {document, score} pairs,
    OpenInference's {document: {…}}, lists of texts; ids and scores may hide in the metadata.
    """
    value = unfold(value)
    table = as_dict(value)
    if table is not None:
        for key in ("documents", "docs", "results", "output", "matches", "nodes", "source_nodes", "hits", "context",
                    "retrieved_documents", "chunks", "data", "outputs", "result", "contexts", "passages"):  # fmt: skip
            if isinstance(table.get(key), list):
                return documents(table[key])
        return None
    if not isinstance(value, list):
        return None
    out: list[Document] = []
    for item in cast(list[Any], value):
        made = _document(item)
        if made is None:
            return None
        out.append(made)
    return out


_SCORES = ("score", "relevance_score", "similarity", "similarity_score", "_score", "rerank_score")


def _document(item: Any) -> Document | None:
    if isinstance(item, str):
        inner = as_dict(item)
        return _document(inner) if inner is not None else Document(content=item)
    if isinstance(item, list) and len(cast(list[Any], item)) == 2:
        body, score = cast(list[Any], item)
        made = _document(body)
        if made is not None and made.score is None:
            made.score = as_float(score)
        return made
    if not isinstance(item, dict):
        return None
    table = cast(dict[str, Any], item)
    outer = table
    for key in ("document", "node", "kwargs"):
        inner = as_dict(table.get(key))
        if inner is not None:
            table = inner
    metadata = as_dict(table.get("metadata")) or as_dict(table.get("meta")) or {}
    identity = first(table, "id", "doc_id", "document_id", "id_", "node_id", "chunk_id")
    if isinstance(identity, list):
        identity = None
    identity = (
        identity if identity is not None else first(metadata, "id", "doc_id", "document_id", "source_id")
    )
    score = None
    for source in (table, outer, metadata):
        for key in _SCORES:
            if key in source and score is None:
                score = as_float(source[key])
    content = first(
        table, "content", "page_content", "pageContent", "text", "body", "chunk", "snippet", "value"
    )
    if identity is None and content is None and not metadata:
        return None
    return Document(as_text(identity), score, as_text(result_of(content)), metadata)


# Coding agents tell their model of a failure in an element of its own: <tool_error>, <tool_use_error>, <error>.
_MARKED_ERROR = re.compile(r"<(tool_error|tool_use_error|error)>(.*)</\1>", re.DOTALL)


def tool_failure(result: Any) -> str | None:
    """The error text of a tool result that says it failed although its span does not, else None."""
    table = as_dict(result)
    if table is None:
        marked = _MARKED_ERROR.fullmatch(result.strip()) if isinstance(result, str) else None
        return marked[2].strip() or "error" if marked is not None else None
    error = table.get("error")
    if error and not isinstance(error, bool):
        return as_text(error)
    if table.get("isError") is True or table.get("is_error") is True or table.get("status") == "error":
        told = first(table, "content", "message", "error_message", "output", "text", "result")
        return as_text(result_of(decode(told))) or "error"
    return None


def renamed(attributes: dict[str, Any], own: str, mark: str, beside: str = "") -> dict[str, Any] | None:
    """The attributes as `own` would call them, of an SDK that was made from that one and put another name in front.

    It is told by the attribute `mark`, and `beside` where that alone may be anybody's; None for every other span.
    """
    for key in attributes:
        head, _, rest = key.partition(".")
        if rest == mark and head != own and (not beside or f"{head}.{beside}" in attributes):
            start = len(head)
            return {own + k[start:]: v for k, v in attributes.items() if k.startswith(f"{head}.")}
    return None


def keep_probability(trace_state: str, attributes: dict[str, Any], resource: dict[str, Any]) -> float | None:
    """The probability with which an upstream head sampler kept this span, None when nothing says so.

    `ot=th:…` is the OpenTelemetry threshold T in hex (padded right to 56 bits): probability 1 - T / 2^56. `ot=p:N` is
    the older form, 2^-N. Attributes: a probability (0..1], or a rate N meaning one in N.
    """
    for member in trace_state.split(",") if trace_state else ():
        vendor, _, value = member.strip().partition("=")
        if vendor != "ot":
            continue
        for field in value.split(";"):
            name, _, data = field.partition(":")
            if name == "th" and 0 < len(data) <= 14 and all(c in "0123456789abcdef" for c in data):
                return 1 - int(data.ljust(14, "0"), 16) / 2**56
            if name == "p" and data.isdigit() and int(data) < 63:
                return 2.0 ** -int(data)
    for source in (attributes, resource):
        probability = as_float(first(source, "sampling.probability", "otel.sampling.probability",
                                     "sampler.probability", "logfire.sample_rate", "langfuse.sample_rate"))  # fmt: skip
        if probability is not None and 0 < probability <= 1:
            return probability
        if source.get("sampler.type") == "probabilistic":
            probability = as_float(source.get("sampler.param"))
            if probability is not None and 0 < probability <= 1:
                return probability
        rate = as_float(first(source, "SampleRate", "sampleRate", "sampling.rate"))
        if rate is not None:
            if rate >= 1:
                return 1 / rate
            if rate > 0:
                return rate
    return None


def first_token(draft: Draft, started: str) -> None:
    """The time to the first token, from the moment the answer began (ISO, with its zone)."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return
    if moment.tzinfo is not None and draft.ttft_ms is None:
        elapsed = moment.timestamp() * 1000 - draft.raw.start_ns / 1e6
        draft.ttft_ms = elapsed if elapsed >= 0 else None


def plain_text(value: Any) -> str | None:
    """The text of an input or output: its only field's text when it is a small object, of a function's call its only argument."""
    value = called_with(value)
    table = as_dict(value)
    if table is not None and len(table) == 1:
        only = next(iter(table.values()))
        if isinstance(only, str):
            return only
    return said(value)


_BLOCKS = frozenset(
    (
        "text",
        "input_text",
        "output_text",
        "reasoning",
        "image_url",
        "tool_call",
        "tool_call_response",
        "tool_use",
        "tool_result",
    )
)


def are_messages(value: Any) -> bool:
    """Whether a value is messages or their parts, or an object that holds the list of them."""
    table = as_dict(value)
    if table is not None and any(isinstance(table.get(key), list) for key in ("messages", "parts")):
        return True
    items = [table] if table is not None else as_list(value) or []
    return any(is_message(i) or word((as_dict(i) or {}).get("type")) in _BLOCKS for i in items)


def _question(given: Any) -> str | None:
    """What was searched for: beside a retriever's settings it has a name of its own."""
    table = as_dict(called_with(given)) or {}
    asked = next(
        (t for key in ("query", "question", "query_text") if isinstance(t := table.get(key), str)), None
    )
    return asked or plain_text(given)


def _retrieved(result: Any) -> list[Document] | None:
    """The documents of a result; a text alone is the one that was found."""
    text = unfold(result)
    return [Document(content=text)] if isinstance(text, str) and text else documents(text)


def step(draft: Draft, given: Any, result: Any) -> None:
    """What a step that is no model call took in and gave, by its kind; what is already known stays."""
    if draft.kind in ("retrieval", "rerank"):
        draft.query = draft.query or _question(given)
        draft.documents = _retrieved(result) if draft.documents is None else draft.documents
    elif draft.kind == "tool":
        draft.tool_name = draft.tool_name or draft.raw.name
        draft.tool_arguments = decode(given) if draft.tool_arguments is None else draft.tool_arguments
        draft.tool_result = decode(result) if draft.tool_result is None else draft.tool_result
        draft.tool_error = draft.tool_error or tool_failure(draft.tool_result)
    elif draft.kind == "guardrail":
        guardrail_outcome(draft, result)
    elif draft.kind == "evaluator":
        verdicts(draft, result)
    elif draft.kind == "agent":
        draft.weak_agent = draft.weak_agent or draft.raw.name
