"""How soon what was acknowledged is there: seconds from an answer of `/v1/traces` until its spans and its scores are found.

    python -m bench.freshness [--rates 200 1000] [--seconds 30] [--watched 0.5] [--dir D]

A server of its own gets traces whose spans end as they are sent, a request each tenth of a second, at each rate (spans/s) in
turn. Of `--watched` traces a second it is then asked, from the answer to the request with the root: how long until SQL and the
trace API have every span, and until SQL has scores of its checks. A question is asked every 100 ms, which is how exact the
figures are. The client shares the machine; its questions are part of the server's processor time.
"""

import argparse
import asyncio
import math
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.ingest import SPANS_PER_TRACE, Traffic, in_folder
from bench.overload import processed
from tests.serving import Server

EVERY_S, ASK_S, LONGEST_S, WARM_S = 0.1, 0.1, 30.0, 5.0
GOALS = {"SQL": 1.0, "trace API": 1.0, "check scores": 2.0}


class FreshTraffic:
    """Requests of about so many spans, made once; each copy has trace ids of its own, and its last root ends now."""

    def __init__(self, spans: int) -> None:
        traffic = Traffic()
        self._made = [ExportTraceServiceRequest.FromString(traffic.body(spans)) for _ in range(16)]
        self._ids = random.Random()

    def request(self) -> tuple[bytes, str, int]:
        """A body, the id of its last trace, and how many spans are in it."""
        request = self._ids.choice(self._made)
        spans = request.resource_spans[0].scope_spans[0].spans
        later = time.time_ns() - max(s.end_time_unix_nano for s in spans)
        ids: dict[bytes, bytes] = {}
        for span in spans:
            span.trace_id = ids.setdefault(span.trace_id, self._ids.randbytes(16))
            span.start_time_unix_nano += later
            span.end_time_unix_nano += later
        return request.SerializeToString(), spans[-1].trace_id.hex(), len(spans)


@dataclass
class Found:
    """Seconds from the acknowledgement until found, by what was asked; what was never found."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {what: [] for what in GOALS})
    never: list[str] = field(default_factory=list[str])
    acknowledged_s: list[float] = field(default_factory=list[float])
    refused: int = 0
    sent: int = 0


class Watch:
    """Asks for one trace at a time, from a connection pool of its own."""

    def __init__(self, client: httpx.AsyncClient, found: Found) -> None:
        self._client, self._found = client, found

    async def _count(self, table: str, trace_id: str) -> int:
        query = f"select count() as n from {table} where trace_id = '{trace_id}'"
        answer = await self._client.post("/api/sql", json={"query": query})
        return answer.json()["rows"][0][0] if answer.is_success else 0

    async def _sql(self, trace_id: str) -> bool:
        return await self._count("spans", trace_id) == SPANS_PER_TRACE

    async def _trace(self, trace_id: str) -> bool:
        answer = await self._client.get(f"/api/traces/{trace_id}")
        return answer.is_success and len(answer.json()["spans"]) == SPANS_PER_TRACE

    async def _scores(self, trace_id: str) -> bool:
        return await self._count("scores", trace_id) > 0

    async def _until(self, what: str, ask: Callable[[str], Awaitable[bool]], trace_id: str) -> None:
        began = time.perf_counter()
        while time.perf_counter() - began < LONGEST_S:
            if await ask(trace_id):
                self._found.seconds[what].append(time.perf_counter() - began)
                return
            await asyncio.sleep(ASK_S)
        self._found.never.append(f"{what} of {trace_id}")

    async def trace(self, trace_id: str) -> None:
        """Everything that is asked of one trace, at once."""
        asks = (self._sql, self._trace, self._scores)
        await asyncio.gather(*(self._until(w, ask, trace_id) for w, ask in zip(GOALS, asks, strict=True)))


async def steady(client: httpx.AsyncClient, rate: int, seconds: float, watched: float) -> Found:
    """Send so many spans a second, whether answered or not, and watch some of their traces; returns when all of those were
    found or given up."""
    found, traffic = Found(), FreshTraffic(max(SPANS_PER_TRACE, round(rate * EVERY_S)))
    watch, tasks = Watch(client, found), set[asyncio.Task[None]]()

    async def send(body: bytes, trace_id: str, spans: int, chosen: bool) -> None:
        began = time.perf_counter()
        answer = await client.post(
            "/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}
        )
        found.acknowledged_s.append(time.perf_counter() - began)
        found.refused += 0 if answer.is_success else spans
        found.sent += spans
        if chosen and answer.is_success:
            await watch.trace(trace_id)

    began = due = next_watched = time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        if due > now:
            await asyncio.sleep(due - now)
        body, trace_id, spans = traffic.request()
        chosen = now >= next_watched
        next_watched += 1 / watched if chosen else 0
        tasks.add(asyncio.create_task(send(body, trace_id, spans, chosen)))
        due += spans / rate
    await asyncio.gather(*tasks)
    return found


def quantile(values: list[float], q: float) -> float:
    """The smallest value that the share q is not above."""
    return sorted(values)[min(len(values) - 1, math.floor(q * len(values)))] if values else math.nan


def say(rate: int, found: Found, seconds: float, cpu: float) -> None:
    """Print one rate's figures."""
    slow = quantile(found.acknowledged_s, 0.99)
    print(
        f"{found.sent / seconds:,.0f} spans/s of {rate:,} sent, {found.refused} spans refused, {cpu / seconds:.0%} of a core, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; "
        f"acknowledged p50 {quantile(found.acknowledged_s, 0.5):.2f} s, p99 {slow:.2f} s"
    )
    for what, goal in GOALS.items():
        values = found.seconds[what]
        worst = max(values, default=math.nan)
        print(
            f"  {what:14} p50 {quantile(values, 0.5):5.2f} s  p99 {quantile(values, 0.99):5.2f} s  "
            f"mean {statistics.fmean(values or [math.nan]):5.2f} s  worst {worst:5.2f} s  n {len(values)}  goal {goal:g} s"
        )
    for line in found.never:
        print(f"  never within {LONGEST_S:g} s: {line}")


async def run(args: argparse.Namespace, folder: Path) -> None:
    """Every rate on one server."""
    with Server(folder / "fresh") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            for rate in args.rates:
                await steady(client, rate, WARM_S, args.watched)
                before = processed(server)
                found = await steady(client, rate, args.seconds, args.watched)
                say(rate, found, args.seconds, processed(server) - before)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--watched", type=float, default=0.5)
    in_folder(parser, run)


if __name__ == "__main__":
    main()
