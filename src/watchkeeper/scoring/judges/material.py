"""What a judge reads of a subject, piece by piece."""

from collections.abc import Callable, Sequence

from watchkeeper.model.score import Subject
from watchkeeper.model.span import Trace
from watchkeeper.scoring.facts import as_text, facts
from watchkeeper.scoring.judges.fence import cut, fence, nonce_for

PIECE = 24_000


def _context(subject: Subject) -> str | None:
    documents = subject.trace.documents
    if documents:
        return "\n\n".join(f"[{i}] {d.content or ''}" for i, d in enumerate(documents, 1))
    evidence = facts(subject).evidence
    return "\n\n".join(f"[{i}] {t}" for i, t in enumerate(evidence, 1)) if evidence else None


def _steps(subject: Subject) -> str | None:
    seen = facts(subject)
    lines: list[str] = []
    for span in seen.spans:
        if span.tool is not None and span.kind == "tool":
            said = f"error: {span.tool.error}" if span.tool.error else as_text(span.tool.result)[:1500]
            arguments = as_text(span.tool.arguments)[:800]
            lines.append(f"tool {span.tool.name}({arguments}) -> {said}")
        elif span.llm is not None and span.kind == "llm":
            calls = ", ".join(f"{c.name}({as_text(c.arguments)[:300]})" for c in span.llm.tool_calls)
            lines.append(f"model: {(span.llm.output_text or '')[:800]}{' calls ' + calls if calls else ''}")
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 1)) if lines else None


def _tools(subject: Subject) -> str | None:
    definitions = facts(subject).definitions
    return "\n".join(f"{n}: {as_text(s)[:1200]}" for n, s in definitions.items()) if definitions else None


def _earlier(subject: Subject) -> str | None:
    def turn(trace: Trace) -> str:
        return f"user: {trace.input_text or ''}\nassistant: {trace.output_text or ''}"

    return "\n\n".join(turn(t) for t in subject.earlier[-12:]) if subject.earlier else None


def _system(subject: Subject) -> str | None:
    return "\n\n".join(facts(subject).system) or None


READERS: dict[str, Callable[[Subject], str | None]] = {
    "input": lambda s: s.input_text,
    "output": lambda s: s.output_text,
    "context": _context,
    "steps": _steps,
    "tools": _tools,
    "earlier": _earlier,
    "system": _system,
    "expected": lambda s: s.expected,
}
TITLES = {
    "input": "USER INPUT",
    "output": "ANSWER TO GRADE",
    "context": "EVIDENCE",
    "steps": "STEPS TAKEN",
    "tools": "TOOLS ON OFFER",
    "earlier": "EARLIER TURNS",
    "system": "INSTRUCTIONS OF THE APPLICATION",
    "expected": "REFERENCE ANSWER",
}


def missing(subject: Subject, needs: Sequence[str]) -> str | None:
    """Which needed piece the subject lacks, in words, or None."""
    for piece in needs:
        if not (READERS[piece](subject) or "").strip():
            return f"no {TITLES[piece].lower()} is recorded"
    return None


def fenced(subject: Subject, reads: Sequence[str], limit: int = PIECE) -> tuple[str, str]:
    """Every piece that exists, fenced, and the nonce. A caller's random seed is in `subject.extra["nonce"]`."""
    found = [(TITLES[p], cut(text, limit)) for p in reads if (text := READERS[p](subject))]
    nonce = nonce_for([text for _, text in found], str(subject.extra.get("nonce", "")))
    return "\n\n".join(fence(title, text, nonce) for title, text in found), nonce
