"""One action turns a reviewed trace into a test case in the next version of a dataset."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from watchkeeper.model.review import Case, DatasetVersion, Label
from watchkeeper.model.span import Message, Trace
from watchkeeper.reviewing.similar import nearest
from watchkeeper.store.records import datasets
from watchkeeper.store.records.engine import Records

DUPLICATE_AT = 0.9


class NearDuplicate(Exception):
    """The dataset already holds a case that asks the same; `case_id` names it, `similarity` is 0..1."""

    def __init__(self, case_id: str, similarity: float) -> None:
        super().__init__(
            f"case {case_id} already asks this ({similarity:.0%} alike); promote anyway with force, or edit that case"
        )
        self.case_id = case_id
        self.similarity = similarity


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(m) for m in messages]


def case_of(
    trace: Trace,
    label: Label | None,
    split: str = "regression",
    owner: str | None = None,
    failed: Sequence[str] = (),
) -> Case:
    """The test case a trace makes: its full input, what the model was given, what it did, what should have come out.
    `failed` names the scorers that failed on it and from now on must pass."""
    calls = trace.llm_calls
    first = calls[0].llm if calls else None
    text = trace.input_text or ""
    context: dict[str, Any] = {
        "system": first.system if first else None,
        "messages": _messages(first.input_messages) if first else [],
        "documents": [msgspec.to_builtins(d) for d in trace.documents],
        "steps": [
            {"name": s.name, "kind": s.kind, "tool": msgspec.to_builtins(s.tool) if s.tool else None}
            for s in trace.spans
            if s.kind in ("tool", "retrieval", "agent", "llm")
        ],
        "session_id": trace.context.session_id,
        "prompt": {"name": trace.context.prompt_name, "version": trace.context.prompt_version},
        "model": (first.response_model or first.request_model) if first else None,
        "release": trace.context.release,
    }
    names = [n for n in (label.taxonomy if label else None, trace.error_class) if n]
    return Case(
        id="case_" + hashlib.sha256(f"{trace.trace_id}\0{text}".encode()).hexdigest()[:16],
        input={"text": text, "messages": context["messages"]},
        context=context,
        expected=label.expected_output if label else None,
        actual=trace.output_text,
        labels=list(dict.fromkeys(names)),
        scenario=trace.context.scenario,
        trace_id=trace.trace_id,
        severity=label.severity if label else None,
        owner=owner or (label.author if label else None),
        split=split,
        must_pass=sorted(set(failed)),
    )


def input_text(case: Case) -> str:
    """What the case asks, as text."""
    if isinstance(case.input, dict):
        return str(case.input.get("text") or case.input.get("messages") or case.input)
    return str(case.input)


async def promote(
    records: Records,
    project: str,
    dataset: str,
    cases: Sequence[Case],
    *,
    author: str,
    note: str,
    now_ns: int,
    force: bool = False,
) -> DatasetVersion:
    """Add cases to the next version of `dataset`.

    Raises:
        NearDuplicate: the dataset holds a case of another trace that asks the same, and `force` is not set.
    """
    current = await records.read(lambda conn: datasets.get(conn, project, dataset))
    if current is not None and not force:
        known = [(c.id, input_text(c)) for c in current.cases]
        for case in cases:
            close = nearest(input_text(case), [k for k in known if k[0] != case.id])
            if close is not None and close[1] >= DUPLICATE_AT:
                raise NearDuplicate(*close)
    return await records.write(
        lambda conn: datasets.commit(
            conn, project, dataset, add=list(cases), remove=[], author=author, note=note, now_ns=now_ns
        )
    )
