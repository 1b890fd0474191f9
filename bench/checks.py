"""How fast the default checks and redaction are: `python bench/checks.py [--shared DIR]`. One core, prints MB of text a second."""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from watchkeeper.model.score import Subject
from watchkeeper.model.span import (
    LLM,
    Context,
    Document,
    Message,
    Part,
    RawSpan,
    Retrieval,
    Span,
    Tool,
    ToolCall,
    Totals,
    Trace,
)
from watchkeeper.patterns import PatternSet
from watchkeeper.redaction.apply import Redactor
from watchkeeper.redaction.find import find
from watchkeeper.redaction.prefilter import first_pass
from watchkeeper.scoring.checks.injection_pattern import PATTERNS as INJECTION
from watchkeeper.scoring.checks.refusal import PATTERNS as REFUSAL
from watchkeeper.scoring.checks.table import default_checks
from watchkeeper.scoring.checks.uncertainty import PATTERNS as UNCERTAINTY
from watchkeeper.scoring.classifiers.answer_relevance import EVASIVE
from watchkeeper.scoring.classifiers.table import default_classifiers
from watchkeeper.scoring.drive import run_checks
from watchkeeper.scoring.protocol import BatchScorer, Finders

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = {
    "name": "lookup",
    "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
}


def best(work: Callable[[], Any], rounds: int = 5) -> float:
    """CPU seconds of the quickest of several runs, garbage collection outside; what others do on the machine counts less."""
    times: list[float] = []
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
        gc.enable()
    return min(times)


def rag_traces(shared: Path) -> list[Trace]:
    """Question answering over documents with one tool call, from the expert questions: sizes as clients send them."""
    out: list[Trace] = []
    for line in (shared / "data/expertqa_claims.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        evidence = [e for c in row["claims"] for e in c["evidence"]][:6]
        question, answer = row["question"], row["answer"]
        system = (
            "You answer questions from the documents. Cite them. Say so when they do not hold the answer. "
            * 6
        )
        call = LLM(
            request_model="gpt-4o",
            system=system,
            input_messages=[
                Message("system", [Part("text", text=system)]),
                Message("user", [Part("text", text="\n\n".join(evidence) + "\n\n" + question)]),
            ],
            output_messages=[Message("assistant", [Part("text", text=answer)])],
            output_text=answer,
            finish_reason="stop",
            tool_calls=[ToolCall("c1", "lookup", {"id": "a1"})],
            tool_definitions=[SCHEMA],
        )
        base: dict[str, Any] = {
            "trace_id": row["id"].ljust(32, "0"),
            "parent_id": None,
            "start_ns": 10**18,
            "end_ns": 10**18 + 10**9,
            "status": "ok",
            "dialect": "bench",
            "context": Context(),
        }
        documents = [Document(id=str(i), content=e) for i, e in enumerate(evidence)]
        tool = Tool("lookup", "c1", {"id": "a1"}, {"id": "a1", "status": "found"})
        spans = [
            Span(
                span_id="1",
                name="chat",
                kind="llm",
                llm=call,
                input_text=question,
                output_text=answer,
                **base,
            ),
            Span(
                span_id="2", name="search", kind="retrieval", retrieval=Retrieval(documents=documents), **base
            ),
            Span(span_id="3", name="lookup", kind="tool", tool=tool, **base),
            Span(span_id="4", name="handle", kind="workflow", **base),
        ]
        out.append(
            Trace(
                base["trace_id"], spans, Context(), Totals(), 10**18, 10**18 + 10**9, True,
                input_text=question, output_text=answer,
            )
        )  # fmt: skip
    return out


def size(trace: Trace) -> int:
    n = 0
    for s in trace.spans:
        if s.llm is not None:
            n += sum(len(m.text or "") for m in (*s.llm.input_messages, *s.llm.output_messages))
        if s.retrieval is not None:
            n += sum(len(d.content or "") for d in s.retrieval.documents)
        if s.tool is not None:
            n += len(json.dumps(s.tool.arguments)) + len(json.dumps(s.tool.result))
    return n


def raw_spans(shared: Path) -> list[RawSpan]:
    """One span per tool-calling conversation turn, attributes as a client sends them: about 3.7 kB each."""
    out: list[RawSpan] = []
    for line in (shared / "data/taubench_airline.jsonl").open(encoding="utf-8"):
        run = json.loads(line)
        for i in range(2, len(run["messages"]), 4):
            messages = json.dumps(run["messages"][max(0, i - 4) : i])[:3000]
            attributes: dict[str, Any] = {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.id": f"chatcmpl-{i:029x}",
                "gen_ai.input.messages": messages,
                "gen_ai.usage.input_tokens": 812,
                "gen_ai.response.finish_reasons": ["stop"],
                "server.address": "api.openai.com",
            }
            resource = {"service.name": "airline", "telemetry.sdk.language": "python", "host.name": "web-1"}
            out.append(
                RawSpan(f"{i:032x}", f"{i:016x}", None, "chat gpt-4o", "client", 10**18, 10**18 + 1, "ok", None, attributes, [], [], resource)
            )  # fmt: skip
    return out


def load_traces(spans: int = 1000) -> list[Trace]:
    """The traffic of `bench/ingest.py` as the server sees it: decoded, normalised and assembled."""
    sys.path.insert(0, str(ROOT))
    from bench.ingest import Traffic
    from watchkeeper.dialects import assemble, normalise
    from watchkeeper.wire import decode

    found: dict[str, list[Span]] = {}
    for span in decode("traces", Traffic().body(spans), now_ns=time.time_ns()).spans:
        found.setdefault(span.trace_id, []).append(normalise(span))
    return [assemble(parts, []) for parts in found.values()]


BATCH = 100


def in_batches(scorers: Sequence[BatchScorer], traces: list[Trace]) -> None:
    """As the pipeline runs them: traces come in batches, and what scorers share goes with the batch."""
    for at in range(0, len(traces), BATCH):
        run_checks(scorers, [Subject(t) for t in traces[at : at + BATCH]])


def checks(name: str, traces: list[Trace]) -> None:
    total, spans = sum(map(size, traces)), sum(len(t.spans) for t in traces)
    given = Finders(find)
    default, classifiers = default_checks(given), default_classifiers()
    suites: dict[str, list[Any]] = {
        "everything by default": [*default, *classifiers],
        "checks only": default,
        "classifiers only": classifiers,
    }
    print(
        f"\n{name}: {len(traces)} traces, {spans} spans, {total / len(traces) / 1000:.1f} kB of text a trace"
    )
    for label, scorers in suites.items():
        in_batches(scorers, traces)
        seconds = best(lambda s=scorers: in_batches(s, traces))
        print(
            f"{label:22}{len(scorers):3} scorers {seconds / spans * 1e6:7.1f} µs/span {total / seconds / 1e6:7.1f} MB/s"
            f" {spans / seconds:9,.0f} spans/s a core"
        )
    print("  each alone, microseconds a trace (what scorers share counts for each here, once in the suite):")
    alone: list[tuple[float, str]] = []
    for scorer in suites["everything by default"]:
        alone.append(
            (
                best(lambda s=scorer: run_checks([s], [Subject(t) for t in traces]), 3) / len(traces) * 1e6,
                scorer.name,
            )
        )
    for micro, scorer_name in sorted(alone, reverse=True)[:10]:
        print(f"  {micro:9.1f}  {scorer_name}")


def engines(traces: list[Trace]) -> None:
    """One pass of many phrases over the outputs, by engine."""
    patterns = [*REFUSAL, *UNCERTAINTY, *EVASIVE, *INJECTION]
    texts = [t.output_text or "" for t in traces]
    total = sum(map(len, texts))
    print(f"\n{len(patterns)} phrases over {len(texts)} outputs of {total / len(texts):.0f} characters:")
    answers: list[list[list[int]]] = []
    for engine in ("hyperscan", "re2", "re"):
        patterns_set = PatternSet(patterns, engine=engine)
        answers.append([patterns_set.ids(t) for t in texts])
        seconds = best(lambda s=patterns_set: [s.ids(t) for t in texts], 2)
        same = "" if answers[-1] == answers[0] else "  (other answers!)"
        print(f"  {engine:10}{total / seconds / 1e6:8.1f} MB/s{same}")


def redaction(shared: Path) -> None:
    chat = [
        t
        for line in (shared / "data/arena_model_versions.jsonl").open(encoding="utf-8")
        for t in json.loads(line)["answers"].values()
    ]
    short = [
        json.loads(line)["text"] for line in (shared / "data/pii_synthetic.jsonl").open(encoding="utf-8")
    ]
    for name, texts in (("chat answers", chat), ("short texts full of personal data", short)):
        total = sum(map(len, texts))
        seconds = best(lambda t=texts: [find(x) for x in t])
        print(f"find, {name}: {total / seconds / 1e6:.0f} MB/s, {len(texts) / seconds:,.0f} texts/s")
    total = sum(map(len, chat))
    for engine in ("hyperscan", "re2", "re"):
        prefilter = first_pass(engine=engine)
        seconds = best(lambda p=prefilter: [p.ids(x) for x in chat], 2)
        print(f"first pass alone, {engine}: {total / seconds / 1e6:.0f} MB/s")
    spans = raw_spans(shared)
    encoded = sum(len(json.dumps(s.attributes)) for s in spans)
    redactor = Redactor()
    seconds = best(lambda: [redactor.span(s) for s in spans])
    print(
        f"whole spans of recorded clients, {encoded / len(spans) / 1000:.1f} kB spans: {len(spans) / seconds:,.0f} spans/s, {encoded / seconds / 1e6:.0f} MB/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    arguments = parser.parse_args()
    redaction(arguments.shared)
    rag = rag_traces(arguments.shared)
    engines(rag)
    checks("traffic of bench/ingest.py", load_traces())
    checks("expert questions over documents", rag)


if __name__ == "__main__":
    main()
