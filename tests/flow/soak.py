"""A server under steady load for a long time (O10): memory, open files, threads and the time of answers must not creep.

    python -m tests.flow.soak --minutes 30

Without `--rate` the load is 70 % of what the senders reach in the first twenty seconds. Ends with 1 when a mark is missed.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.flow.crashing import batch, ledger_of, unbalanced
from tests.flow.sending import Connection, request
from tests.serving import Server

MB = 1 << 20
SENDERS, TRACES, SPANS_OF_TRACE = 4, 4, 3
SAMPLE_S = 10.0
# The marks: memory in MB a minute, how much files and threads may differ, how much the answers' p99 may grow.
SLOPE, HANDLES, DRIFT = 0.5, 10, 0.2


@dataclass
class Load:
    """Senders that keep to a rate, and the times of the answers since they were last taken."""

    port: int
    spans_a_second: float | None = None
    sent: int = 0
    refused: int = 0
    _took: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def send(self, name: str) -> None:
        connection, number, due = Connection(self.port), 0, time.monotonic()
        while not self._stop.is_set():
            body = request(batch(f"soak {name}", number, TRACES))
            began = time.monotonic()
            try:
                status = connection.post("/v1/traces", body)[0]
            except (OSError, http.client.HTTPException):
                status = 0
            with self._lock:
                self._took.append(time.monotonic() - began)
                self.sent += TRACES * SPANS_OF_TRACE if status == 200 else 0
                self.refused += status != 200
            number += 1
            if self.spans_a_second is not None:
                due = max(due + SENDERS * TRACES * SPANS_OF_TRACE / self.spans_a_second, time.monotonic() - 1)
                self._stop.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def taken(self) -> list[float]:
        with self._lock:
            took, self._took = self._took, []
        return took

    def run(self) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self.send, args=(f"{time.time_ns()}/{n}",), daemon=True)
            for n in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def finish(self, threads: list[threading.Thread]) -> None:
        self._stop.set()
        for thread in threads:
            thread.join(60)
        self._stop.clear()


@dataclass(frozen=True)
class Sample:
    """The server at one moment: minutes since the start, resident megabytes, open files, threads, p99 of the answers in seconds."""

    minute: float
    rss: float
    files: int
    threads: int
    p99: float


def sample(server: Server, began: float, took: list[float]) -> Sample:
    assert server.process is not None
    proc = Path(f"/proc/{server.process.pid}")
    lines = dict(x.split(":", 1) for x in (proc / "status").read_text().splitlines() if ":" in x)
    p99 = statistics.quantiles(took, n=100)[98] if len(took) > 1 else 0.0
    rss, threads = int(lines["VmRSS"].split()[0]) * 1024 / MB, int(lines["Threads"])
    return Sample((time.monotonic() - began) / 60, rss, len(list((proc / "fd").iterdir())), threads, p99)


def verdict(samples: list[Sample]) -> tuple[str, bool]:
    """What the samples after the warm-up (a fifth of them) say, and whether every mark is met."""
    kept = samples[len(samples) // 5 :]
    slope = statistics.linear_regression([s.minute for s in kept], [s.rss for s in kept]).slope
    files, threads = (max(v) - min(v) for v in ([s.files for s in kept], [s.threads for s in kept]))
    third = max(1, len(kept) // 3)
    first, last = (statistics.median(s.p99 for s in part) for part in (kept[:third], kept[-third:]))
    drift = last / first - 1 if first else 0.0
    said = f"memory {slope:+.2f} MB a minute (now {kept[-1].rss:.0f} MB), files within {files}, threads within {threads}, p99 {drift:+.0%} (now {last * 1e3:.0f} ms)"
    return said, slope <= SLOPE and files <= HANDLES and threads <= HANDLES and drift <= DRIFT


def soak(minutes: float, rate: float | None) -> int:
    """Run it; 0 when every mark is met."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data") as server:
        load = Load(server.port, rate)
        if rate is None:
            threads = load.run()
            time.sleep(20)
            load.finish(threads)
            load.spans_a_second = 0.7 * load.sent / 20
        began, samples = time.monotonic(), list[Sample]()
        load.sent, load.refused = 0, 0
        load.taken()
        threads = load.run()
        while (now := time.monotonic()) < began + minutes * 60:
            time.sleep(min(SAMPLE_S, began + minutes * 60 - now))
            samples.append(sample(server, began, load.taken()))
        load.finish(threads)
        server.eventually("select count() as n from spans", lambda r: r[0]["n"] >= load.sent, 60)
        said, met = verdict(samples)
        lost = unbalanced(ledger_of(server))
        print(
            f"O10: {minutes:g} min at {load.spans_a_second:.0f} spans/s, {load.sent} acknowledged, {load.refused} refused: {said};"
            f" the ledger {'balances' if not lost else json.dumps(list(lost.values()))}: {'met' if met and not lost else 'MISSED'}"
        )
    return 0 if met and not lost else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, help="spans a second; default: 70 %% of what is reached")
    given = parser.parse_args()
    sys.exit(soak(given.minutes, given.rate))
