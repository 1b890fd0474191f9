"""What one span costs the application's thread: ours beside the bare OpenTelemetry SDK, in one run.

    python bench/sdk_overhead.py [--spans 20000] [--rounds 5]

A local server answers every request with 200, so that the export thread works as it would in production
while the spans are made. Prints microseconds per span: the median of the rounds, of their processor time the least as well,
which a busy machine disturbs least, and the p99 of single spans.
"""

import argparse
import logging
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import watchkeeper
from watchkeeper.sdk import stats

QUESTION = "Where is my order 1234? It was promised for last Tuesday and I still have not heard anything."
ANSWER = "It left our warehouse on Monday and arrives on Thursday. " * 12


class Accept(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(told: Connection) -> None:
    """Answer on a free port until the parent ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Accept)
    told.send(server.server_port)
    server.serve_forever()


class Discard(SpanExporter):
    """The bare SDK's exporter costs nothing here: only the application's side is compared."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def measure(name: str, make: Callable[[], object], spans: int, rounds: int, pause: float) -> None:
    """Print microseconds per span: median of the rounds by the wall clock, median and least in processor time of
    this thread, and the 99th percentile of single spans."""
    for _ in range(500):
        make()
    per_round: list[float] = []
    processor: list[float] = []
    single: list[int] = []
    for _ in range(rounds):
        spent = 0
        before = time.thread_time_ns()
        for number in range(spans):
            start = time.perf_counter_ns()
            make()
            took = time.perf_counter_ns() - start
            spent += took
            single.append(took)
            if number % 100 == 99:
                time.sleep(pause)
        per_round.append(spent / spans / 1000)
        processor.append((time.thread_time_ns() - before) / spans / 1000)
    single.sort()
    median, busy, least = statistics.median(per_round), statistics.median(processor), min(processor)
    print(
        f"{name:48} {median:8.1f} {busy:8.1f} {least:8.1f} {single[int(len(single) * 0.99)] / 1000:8.1f}",
        flush=True,
    )


def redaction() -> None:
    """How fast the export thread redacts chat text, per message length."""
    redactor = watchkeeper.Redactor()
    for name, text in (
        ("a chat message", QUESTION),
        ("an answer", ANSWER),
        (
            "a document with an address and a card",
            f"{ANSWER * 8} anna@example.com paid by 4111 1111 1111 1111.",
        ),
    ):
        rounds = max(1, 2_000_000 // len(text))
        start = time.process_time()
        for _ in range(rounds):
            redactor(text)
        rate = rounds * len(text) / (time.process_time() - start) / 1e6
        print(f"redaction, {name} ({len(text)} characters): {rate:.0f} MB/s")


def chunks() -> None:
    """What reading one chunk of a streamed answer costs the application's thread."""
    told = [{"choices": [{"index": 0, "delta": {"content": "word "}}]}] * 200
    events = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    ] * 200
    for name, answer in (("a chat completion", told), ("Anthropic's messages", events)):
        least = float("inf")
        for _ in range(20):
            with watchkeeper.span("chat", kind="llm") as step:
                start = time.thread_time_ns()
                for _ in step.stream(answer):
                    pass
                least = min(least, (time.thread_time_ns() - start) / len(answer) / 1000)
        print(f"a chunk of {name}: {least:.1f} µs CPU at least")


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds after every 100 spans")
    given = parser.parse_args()

    # Its own process: in ours it would compete for the interpreter and be counted as our overhead.
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    bare = TracerProvider()
    bare.add_span_processor(BatchSpanProcessor(Discard(), max_queue_size=100_000))
    tracer = bare.get_tracer("bench")
    watchkeeper.init(f"http://127.0.0.1:{port}", tracer_provider=TracerProvider())

    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.provider.name": "openai",
        "watchkeeper.input": QUESTION,
        "watchkeeper.output": ANSWER,
        "gen_ai.usage.input_tokens": 812,
        "gen_ai.usage.output_tokens": 120,
    }

    def bare_empty() -> None:
        with tracer.start_as_current_span("step"):
            pass

    def bare_full() -> None:
        with tracer.start_as_current_span("step") as step:
            for key, value in attributes.items():
                step.set_attribute(key, value)

    def our_empty() -> None:
        with watchkeeper.span("step"):
            pass

    def our_llm() -> None:
        with watchkeeper.span("chat", kind="llm", model="gpt-4o-mini", provider="openai") as step:
            step.input([{"role": "user", "content": QUESTION}]).output(ANSWER).usage(812, 120).finish("stop")

    @watchkeeper.trace
    def plain(question: str) -> str:
        return ANSWER

    @watchkeeper.trace(scenario="support", prompt=("answer", "v3"), user_id="u-1")
    def cohort(question: str) -> str:
        return ANSWER

    with watchkeeper.session("warm"):
        our_llm()
    cases: list[tuple[str, Callable[[], object]]] = [
        ("bare OpenTelemetry, empty span", bare_empty),
        ("bare OpenTelemetry, 7 attributes", bare_full),
        ("watchkeeper.span, empty", our_empty),
        ("watchkeeper.span, llm with messages and usage", our_llm),
        ("@trace, text in and out", lambda: plain(QUESTION)),
        ("@trace, with scenario, prompt and user", lambda: cohort(QUESTION)),
    ]
    print(f"{'case':48} {'µs/span':>8} {'µs CPU':>8} {'least':>8} {'p99 µs':>8}")
    for name, make in cases:
        measure(name, make, given.spans, given.rounds, given.pause)
    watchkeeper.flush(30)
    outcome = stats()
    counts = f"{outcome['sent_spans']} of {outcome['accepted_spans']}, dropped {outcome['dropped_spans']}"
    print(f"{'delivered':48} {counts}")
    logging.getLogger("watchkeeper").setLevel(logging.CRITICAL)  # the next two servers are away on purpose
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        for name, endpoint in (
            ("server refuses: @trace, text in and out", "http://127.0.0.1:9"),
            ("server never answers: @trace, text in and out", f"http://127.0.0.1:{deaf.getsockname()[1]}"),
        ):
            watchkeeper.init(endpoint, tracer_provider=TracerProvider(), exit_timeout=0.1)
            measure(name, lambda: plain(QUESTION), given.spans, given.rounds, given.pause)
    print("goal: at most 40 µs per span in the application's thread, p99 at most 500 µs")
    chunks()
    watchkeeper.shutdown(0.1)
    redaction()
    server.terminate()


if __name__ == "__main__":
    main()
