"""Guards: the scorers' checks inline, within a time budget that is kept from outside the checks."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config, Guard, Metric
from watchkeeper.model.score import Failed, Outcome, Subject, Verdict
from watchkeeper.model.span import LLM, Context, Document, Message, Part, Retrieval, Span, Totals, Trace
from watchkeeper.scoring.drive import Batch, direct, run_scorer
from watchkeeper.scoring.protocol import BatchScorer
from watchkeeper.server.metrics import Counters

log = logging.getLogger("watchkeeper.guard")

THREADS = 8
Build = Callable[[dict[str, Any]], object]
Redact = Callable[[str], str]


@dataclass(frozen=True)
class Answer:
    """What a guard says. `skipped` names checks that gave no answer and why; `output` is the redacted text."""

    verdict: str
    reasons: list[str]
    skipped: list[str]
    output: str | None = None
    shadow: bool = False


DEFAULT_GUARD = Guard(
    name="default",
    input=(Metric(name="injection", type="injection_pattern"),),
    output=(Metric(name="secret", type="secret_in_output"), Metric(name="pii", type="pii_in_output")),
    action="redact",
)  # pyright: ignore[reportCallIssue]


def _documents(context: Any) -> list[Document]:
    if context is None:
        return []
    found: list[Document] = []
    for number, item in enumerate(context if isinstance(context, list) else [context]):
        if isinstance(item, dict):
            content = item.get("content", item.get("text"))
            name = item.get("id", number)
            found.append(Document(id=str(name), content=None if content is None else str(content)))
        else:
            found.append(Document(id=str(number), content=str(item)))
    return found


def subjects(given_input: str | None, output: str | None, context: Any) -> list[Subject]:
    """What was asked and answered, as the trace the same scorers would see in production: whole, then by span."""
    trace_id = secrets.token_hex(16)

    def span(number: int, kind: str, name: str) -> Span:
        parent = None if number == 1 else f"{1:016x}"
        return Span(trace_id, f"{number:016x}", parent, name, kind, 1, 2, "ok", "guard", Context())

    call = span(1, "llm", "guarded call")
    call.input_text, call.output_text = given_input, output
    call.llm = LLM(
        input_messages=[Message("user", [Part("text", text=given_input)])] if given_input is not None else [],
        output_messages=[Message("assistant", [Part("text", text=output)])] if output is not None else [],
        output_text=output,
    )
    spans = [call]
    documents = _documents(context)
    if documents:
        found = span(2, "retrieval", "context")
        found.retrieval = Retrieval(query=given_input, documents=documents)
        spans.append(found)
    trace = Trace(
        trace_id, spans, Context(), Totals(), 1, 2, True, input_text=given_input, output_text=output
    )
    return [Subject(trace), *(Subject(trace, s) for s in spans)]


def _used_once(scorers: Sequence[BatchScorer], isolate: Batch) -> None:
    sample = subjects("input", "output", "context")
    for scorer in scorers:
        run_scorer(scorer, [s for s in sample if (s.span is not None) == (scorer.level == "span")], isolate)


class Guards:
    """The guards of the configuration, rebuilt when it changes. `redact` replaces personal data and secrets; `isolate` runs
    users' own functions, which no thread could stop and which may hold the interpreter."""

    def __init__(
        self,
        holder: ConfigHolder,
        build: Build,
        counters: Counters,
        redact: Redact,
        isolate: Batch = direct,
    ) -> None:
        self._build, self._redact, self._counters, self._isolate = build, redact, counters, isolate
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="guard")
        self._busy = 0
        self._guards: dict[tuple[str, str], Guard] = {}
        self._scorers: dict[tuple[str, str, str], list[BatchScorer]] = {}
        self.use(holder.current)
        holder.on_change(self.use)

    def use(self, config: Config) -> None:
        """Take the guards of a configuration. `default` exists even where it is not configured."""
        guards = {(g.project, g.name): g for g in config.guards}
        scorers: dict[tuple[str, str, str], list[BatchScorer]] = {}
        for key, guard in [(("", "default"), DEFAULT_GUARD), *guards.items()]:
            for side in ("input", "output"):
                built = [self._build(m.spec()) for m in getattr(guard, side)]
                scorers[(*key, side)] = [b for b in built if isinstance(b, BatchScorer)]
        self._guards, self._scorers = guards, scorers
        # A scorer compiles its patterns on first use, which takes longer than any budget: that use is ours.
        self.warm = self._pool.submit(
            _used_once, [s for built in scorers.values() for s in built], self._isolate
        )

    def names(self, project: str) -> list[str]:
        """The guards of a project."""
        return sorted({name for owner, name in self._guards if owner == project} | {"default"})

    def find(self, project: str, name: str) -> tuple[Guard, tuple[str, str]] | None:
        """A guard and the key of its scorers, None when the project has none of that name."""
        guard = self._guards.get((project, name))
        if guard is not None:
            return guard, (project, name)
        return (DEFAULT_GUARD, ("", "default")) if name == "default" else None

    async def run(
        self, project: str, name: str, given_input: str | None, output: str | None, context: Any
    ) -> Answer | None:
        """Run a guard; None when there is no such guard. Late and broken checks are skipped, and count as passed
        unless the guard fails closed."""
        found = self.find(project, name)
        if found is None:
            return None
        guard, key = found
        sides = [s for s, text in (("input", given_input), ("output", output)) if text is not None]
        scorers = [s for side in sides for s in self._scorers[(*key, side)]]
        reasons, skipped = await self._checked(
            scorers, subjects(given_input, output, context), guard.budget / 1e9
        )
        verdict, text = self._verdict(guard, reasons, skipped, output)
        self._counters.add(
            "watchkeeper_guard_total", guard=name, verdict=f"shadow_{verdict}" if guard.shadow else verdict
        )
        if guard.shadow:
            return Answer("pass", [], skipped, None, shadow=True)
        return Answer(verdict, reasons, skipped, text)

    def _verdict(
        self, guard: Guard, reasons: list[str], skipped: list[str], output: str | None
    ) -> tuple[str, str | None]:
        if skipped and guard.fail == "closed":
            return "block", None
        if not reasons:
            return "pass", None
        if guard.action == "redact" and output is not None:
            return "redact", self._redact(output)
        return "block", None

    async def _checked(
        self, scorers: Sequence[BatchScorer], wanted: list[Subject], seconds: float
    ) -> tuple[list[str], list[str]]:
        reasons: list[str] = []
        skipped: list[str] = []
        running: dict[asyncio.Future[list[Outcome]], str] = {}
        for scorer in scorers:
            mine = [s for s in wanted if (s.span is not None) == (scorer.level == "span")]
            if self._busy >= THREADS:
                # A check that hangs keeps its thread; the callers behind it must not wait for it too.
                skipped.append(f"{scorer.name}: all threads are busy")
                continue
            running[self._start(scorer, mine)] = scorer.name
        done, late = await asyncio.wait(running, timeout=seconds) if running else (set(), set())
        for future in done:
            name = running[future]
            for outcome in future.result():
                if isinstance(outcome, Verdict) and outcome.passed is False:
                    reasons.append(f"{name}: {outcome.reason or 'failed'}")
                elif isinstance(outcome, Failed):
                    skipped.append(f"{name}: {outcome.reason}")
        skipped.extend(f"{running[f]}: no answer within {seconds * 1000:.0f} ms" for f in late)
        if skipped:
            self._counters.add("watchkeeper_guard_skipped_total", len(skipped))
        return list(dict.fromkeys(reasons)), list(dict.fromkeys(skipped))

    def _start(self, scorer: BatchScorer, mine: list[Subject]) -> "asyncio.Future[list[Outcome]]":
        self._busy += 1
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, run_scorer, scorer, mine, self._isolate)

        def finished(_: object) -> None:
            self._busy -= 1

        future.add_done_callback(finished)
        return future

    def close(self) -> None:
        """Stop taking work; checks that hang are abandoned."""
        self._pool.shutdown(wait=False, cancel_futures=True)
