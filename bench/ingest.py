"""Spans a second from OTLP bytes to durable rows: decode, redact, normalise, insert with fsync, assemble, check.

    python -m bench.ingest [--spans 20000] [--batch 500] [--writers 8] [--no-checks] [--dir D]
        [--text made-up|prose|conversations|varied]

The bodies are made first; the clock then runs from the first request to the last acknowledgement ("acknowledged"),
and to the last trace row ("assembled and checked"). Prints CPU seconds and peak memory beside it.
"""

import argparse
import asyncio
import gzip
import os
import random
import resource
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper.dialects import assemble, normalise
from watchkeeper.model.span import LogRecord, RawSpan, Trace
from watchkeeper.pipeline.apart import Apart
from watchkeeper.pipeline.assembly import Assembly
from watchkeeper.pipeline.calm import calm_gc
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.ingest import Ingest
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.redaction.apply import Redactor
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.clickhouse.engine import spare_memory
from watchkeeper.store.columns import TraceRow
from watchkeeper.store.records.engine import Records
from watchkeeper.wire import decode

SPANS_PER_TRACE = 5
SYLLABLES = [
    "ka",
    "lo",
    "mi",
    "re",
    "ta",
    "su",
    "no",
    "ve",
    "di",
    "pa",
    "gu",
    "he",
    "zi",
    "or",
    "an",
    "el",
    "ti",
    "ma",
    "be",
    "ru",
]


def vocabulary(n: int, seed: int) -> list[str]:
    """`n` made-up words, the same for the same seed."""
    dice = random.Random(seed)
    return ["".join(dice.choices(SYLLABLES, k=dice.randint(1, 4))) for _ in range(n)]


class Traffic:
    """Seeded traces of an assistant: root, retrieval, two model calls and a tool, about 3.7 kB a span on the wire."""

    def __init__(self, seed: int = 7) -> None:
        self.dice = random.Random(seed)
        self.words = vocabulary(4000, seed)
        self.start = time.time_ns()

    def text(self, part: str, chars: int) -> str:
        """What stands in one part of the trace, about so many characters; here words without meaning or repetition."""
        return " ".join(self.dice.choices(self.words, k=chars // 6))

    def _attributes(self, span: Any, values: dict[str, Any]) -> None:
        for key, value in values.items():
            pair = span.attributes.add(key=key)
            if isinstance(value, bool):
                pair.value.bool_value = value
            elif isinstance(value, int):
                pair.value.int_value = value
            elif isinstance(value, float):
                pair.value.double_value = value
            else:
                pair.value.string_value = value

    def messages(self, part: str, chars: int) -> str:
        """The messages of one part, as clients write them: JSON in an attribute."""
        role = "assistant" if part in ("plan", "answer") else "user"
        piece = {"type": "text", "content": self.text(part, chars)}
        return msgspec.json.encode([{"role": role, "parts": [piece]}]).decode()

    def trace(self, scope: Any) -> None:
        """Add one trace's spans to a scope."""
        dice = self.dice
        trace_id = dice.randbytes(16)
        ids = [dice.randbytes(8) for _ in range(SPANS_PER_TRACE)]
        self.start += 2_000_000
        user, session = f"user-{dice.randrange(5000)}", f"session-{dice.randrange(20000)}"
        for i in range(SPANS_PER_TRACE):
            name = ("invoke_agent support", "retrieve", "chat gpt-4o", "execute_tool lookup", "chat gpt-4o")[
                i
            ]
            span = scope.spans.add(
                trace_id=trace_id, span_id=ids[i], name=name, kind=3, parent_span_id=ids[0] if i else b"",
                start_time_unix_nano=self.start + i * 10**6,
                end_time_unix_nano=self.start + (9 * 10**8 if i == 0 else i * 10**8),
            )  # fmt: skip
            common = {"user.id": user, "gen_ai.conversation.id": session, "watchkeeper.scenario": "support"}
            if i in (2, 4):
                self._attributes(span, {
                    **common, "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
                    "gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 800,
                    "gen_ai.usage.input_tokens": dice.randrange(200, 2000), "gen_ai.usage.output_tokens": 150,
                    "gen_ai.input.messages": self.messages("prompt" if i == 2 else "prompt with result", 3400),
                    "gen_ai.output.messages": self.messages("plan" if i == 2 else "answer", 1200),
                    "gen_ai.response.finish_reasons": "stop", "gen_ai.prompt.version": f"v{dice.randrange(3)}",
                })  # fmt: skip
            elif i == 3:
                self._attributes(span, {
                    **common, "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
                    "gen_ai.tool.call.arguments": '{"order": "A' + str(dice.randrange(10**5)) + '"}',
                    "gen_ai.tool.call.result": self.text("result", 2400),
                })  # fmt: skip
            elif i == 1:
                self._attributes(span, {**common, "openinference.span.kind": "RETRIEVER", "input.value": self.text("query", 100),
                                        "retrieval.documents.0.document.content": self.text("document", 2800)})  # fmt: skip
            else:
                self._attributes(span, {**common, "gen_ai.operation.name": "invoke_agent", "input.value": self.text("question", 900),
                                        "output.value": self.text("answer", 1300), "gen_ai.agent.name": "support"})  # fmt: skip

    def body(self, spans: int) -> bytes:
        """One export request of about so many spans."""
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        self._attributes(resource_spans.resource, {
            "service.name": "support-bot", "service.version": "1.4.2", "deployment.environment.name": "production",
            "telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry",
        })  # fmt: skip
        scope = resource_spans.scope_spans.add()
        scope.scope.name = "bench"
        for _ in range(max(1, spans // SPANS_PER_TRACE)):
            self.trace(scope)
        return request.SerializeToString()


def traffic_of(kind: str, shared: Path) -> Traffic:
    """The traffic of `--text`."""
    if kind == "made-up":
        return Traffic()
    from bench.conversations import Conversations, Prose, Varied

    return {"prose": Prose, "conversations": Conversations, "varied": Varied}[kind](shared / "data")


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """What `traffic_of` needs to know."""
    parser.add_argument("--text", choices=("made-up", "prose", "conversations", "varied"), default="made-up")
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")


class Rig:
    """The write path as the server runs it, without HTTP."""

    def __init__(self, folder: Path, checks: bool) -> None:
        self.columns: ClickHouseColumns = open_columns(f"chdb://{folder / 'columns'}")
        self.records: Records | None = None
        self.flow: CheckFlow | None = None
        redactor = Redactor()

        def redact(_project: str, item: RawSpan | LogRecord) -> object:
            return redactor.span(item) if isinstance(item, RawSpan) else redactor.log(item)

        if checks:
            from watchkeeper.store.records.tables import metadata

            self.records = Records(f"sqlite:///{folder / 'records.db'}")
            metadata.create_all(self.records.engine)
            plan = make_plan([], salt="bench")
            self.apart = Apart(time.time_ns)
            self.flow = CheckFlow(self.columns, self.records, time.time_ns, lambda _: plan, run=self.apart)
        self.assembly = Assembly(
            self.columns, time.time_ns, normalise, assemble, self.flow.on_traces if self.flow else self._plain
        )
        self.ingest = Ingest(self.columns, time.time_ns, normalise, redact, self.assembly)

    async def _plain(self, items: Any, read_ns: int) -> None:
        pairs: list[tuple[str, Trace]] = list(items)
        await self.columns.write_traces([TraceRow(p, t, [], 1.0, "all", read_ns) for p, t in pairs])

    async def send(self, bodies: list[bytes], writers: int, rounds: int = 1) -> None:
        """Every body once a round, by so many writers at a time. Later rounds get ids of their own after decoding, so that
        a long run does not need memory for its bodies."""
        queue = [(r, body) for r in range(rounds) for body in bodies][::-1]

        async def writer() -> None:
            while queue:
                turn, body = queue.pop()
                while self.ingest.admit(len(body)) is not None:  # noqa: ASYNC110 - as a client would
                    await asyncio.sleep(0.01)
                decoded = await asyncio.to_thread(decode, "traces", body, now_ns=time.time_ns())
                self.ingest.withdraw("", len(body))
                for span in decoded.spans if turn else ():
                    span.trace_id = f"{turn:08x}{span.trace_id[8:]}"
                await self.ingest.accept("default", decoded.spans, decoded.logs)

        await asyncio.gather(*(writer() for _ in range(writers)))

    async def close(self) -> None:
        """Stop everything in order."""
        await self.ingest.close()
        await self.assembly.close()
        if self.flow is not None:
            self.flow.close()
            self.apart.close()
        await self.columns.close()


def rss_mb(peak: bool = True) -> float:
    """Resident memory of this process, MB."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def children(process: int) -> tuple[float, float]:
    """CPU seconds and resident megabytes of the processes that a process started and that still run."""
    seconds = resident = 0.0
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        for child in listed.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            resident += int(fields[21]) * resource.getpagesize() / 2**20
    return seconds, resident


def cpu_by_thread() -> dict[str, float]:
    """CPU seconds of each kind of thread of this process."""
    ticks = os.sysconf("SC_CLK_TCK")
    ours = {t.native_id: t.name.rpartition("_")[0] or t.name for t in threading.enumerate()}
    found: Counter[str] = Counter()
    for stat in Path("/proc/self/task").glob("*/stat"):
        head, _, rest = stat.read_text().rpartition(")")
        fields = rest.split()
        name = ours.get(int(stat.parent.name)) or head.partition("(")[2]
        found[name] += (int(fields[11]) + int(fields[12])) / ticks  # type: ignore[assignment]
    return dict(found)


async def run(args: argparse.Namespace, folder: Path) -> None:
    """Make the bodies, warm up, measure, print."""
    spare_memory()  # as the server does at its start
    opened = time.perf_counter()
    rig = Rig(folder, not args.no_checks)
    opened = time.perf_counter() - opened
    # Made after the start, as what a server gets is: of older traces it would ask the store whether it knows them.
    traffic = traffic_of(args.text, args.shared)
    rounds = max(1, args.spans // 20_000)
    bodies = [traffic.body(args.batch) for _ in range(args.spans // args.batch // rounds)]
    spans = rounds * len(bodies) * (args.batch // SPANS_PER_TRACE) * SPANS_PER_TRACE
    wire = rounds * sum(map(len, bodies))
    gzipped = sum(len(gzip.compress(body, 6)) for body in bodies[:20]) / sum(map(len, bodies[:20]))
    print(f"open {opened:.2f} s, {rss_mb(False):.0f} MB with the bodies made")
    rig.ingest.start()
    rig.assembly.start()
    await rig.send([traffic.body(args.batch)], 1)
    await asyncio.sleep(2)
    await rig.assembly.flush(everything=True)
    calm_gc()
    before, threads = rss_mb(False), cpu_by_thread()
    started, cpu = time.perf_counter(), time.process_time() + children(os.getpid())[0]
    await rig.send(bodies, args.writers, rounds)
    acknowledged = time.perf_counter() - started
    await asyncio.sleep(1.1)
    await rig.assembly.flush(everything=True)
    done = time.perf_counter() - started
    beside, resident = children(os.getpid())
    cpu = time.process_time() + beside - cpu
    print(f"{spans:,} spans of {wire / spans / 1000:.1f} kB, {args.writers} writers of {args.batch}")
    print(f"acknowledged           {spans / acknowledged:10,.0f} spans/s")
    print(f"assembled and checked  {spans / max(done - 1.1, acknowledged):10,.0f} spans/s")
    print(
        f"CPU                    {cpu / spans * 1e6:10,.0f} µs a span, two cores hold {2 * spans / cpu:,.0f} spans/s"
    )
    print(
        f"memory                 {before:.0f} MB before, {rss_mb(False):.0f} MB after, {rss_mb():.0f} MB peak; "
        f"the checks' process {resident:.0f} MB and {beside:.1f} s of CPU"
    )
    stats = await rig.columns.stats()
    disk = sum(t["bytes"] for t in stats["tables"].values())
    print(
        f"disk                   {disk / wire:.3f} of the wire bytes (gzip makes {gzipped:.3f} of the requests)"
    )
    for table, t in stats["tables"].items():
        if t["bytes"] > 100_000:
            print(
                f"  {table:10} {t['rows']:8,} rows {t['parts']:3} parts {t['bytes'] / spans:7,.0f} B a span"
            )
    print(
        "settled",
        dict(sorted((o, rig.ingest.ledger.total(o)) for o in ("received", "stored", "deduplicated"))),
    )
    print("assembly", msgspec.to_builtins(rig.assembly.counts))
    spent = sorted(
        ((now - threads.get(name, 0.0), name) for name, now in cpu_by_thread().items()), reverse=True
    )
    print("CPU by thread", ", ".join(f"{name} {seconds:.1f} s" for seconds, name in spent if seconds >= 0.1))
    await rig.close()


def in_folder(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace, Path], Coroutine[Any, Any, None]]
) -> None:
    """Parse and run in the folder of `--dir`, or in one of our own that is removed afterwards."""
    parser.add_argument("--dir", type=Path)
    args = parser.parse_args()
    folder = args.dir or Path(tempfile.mkdtemp(prefix="wk-bench-"))
    try:
        asyncio.run(run(args, folder))
    finally:
        if args.dir is None:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--no-checks", action="store_true")
    add_text_options(parser)
    in_folder(parser, run)


if __name__ == "__main__":
    main()
