"""One action turns a reviewed trace into a test case in the next version of a dataset."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from watchkeeper.model.review import Case, DatasetVersion, Label
from watchkeeper.model.score import Score
from watchkeeper.model.span import Message, Trace
from watchkeeper.pipeline.curate import Moved, admitted, changed
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.store.records import datasets
from watchkeeper.store.records.engine import Records


class NearDuplicate(Exception):
    """The dataset already holds a case that asks the same; `case_id` names it, `similarity` is 0..1."""

    def __init__(self, case_id: str, similarity: float) -> None:
        super().__init__(
            f"case {case_id} already asks this ({similarity:.0%} alike); promote anyway with force, or edit that case"
        )
        self.case_id = case_id
        self.similarity = similarity


class HeldByOther(Exception):
    """The dataset holds this very case as somebody else's, or in another split."""

    def __init__(self, case: Case) -> None:
        owner = f", owned by {case.owner}" if case.owner else ""
        super().__init__(f"case {case.id} is in the split {case.split}{owner}, and stays as it is")


def must_pass_of(scores: Iterable[Score], scorers: Iterable[Scorer]) -> list[str]:
    """The scorers that failed on a trace and that a better answer can pass: those that read only the input would fail on
    this case whatever the next release answers. `scorers` are those in force."""
    of_input = {
        s.name for s in scorers if getattr(s, "of_input", False) or getattr(s, "where", "output") == "input"
    }
    failed = {s.scorer for s in scores if s.passed is False and s.source in ("check", "judge", "classifier")}
    return sorted(failed - of_input)


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
        "tools": first.tool_definitions if first else [],
        "model": (first.response_model or first.request_model) if first else None,
        "release": trace.context.release,
    }
    # A judge is compared with what people said of the answer as it is.
    verdict = label.verdict if label is not None and split == "calibration" else None
    names = [n for n in (verdict, label.taxonomy if label else None, trace.error_class) if n]
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
    keep: bool = False,
) -> tuple[DatasetVersion, list[Moved]]:
    """Add cases to the next version of `dataset`; also which of them that takes out of their split.

    Raises:
        HeldByOther: `keep` is set, and the dataset holds one of these cases as somebody else's or in another split.
        NearDuplicate: the dataset holds a case of another trace that asks the same, and `force` is not set.
    """
    current = await records.read(lambda conn: datasets.get(conn, project, dataset))
    held = {c.id: c for c in current.cases} if current and keep else {}
    for case in cases:
        was = held.get(case.id, case)
        if (was.owner, was.split) != (case.owner, case.split):
            raise HeldByOther(was)
    if current is not None and not force:
        _, twins = admitted(current.cases, cases)
        if twins:
            raise NearDuplicate(twins[0].other_id, twins[0].similarity)
    return await records.write(
        lambda conn: changed(
            conn, project, dataset, add=cases, remove=[], author=author, note=note, now_ns=now_ns
        )
    )
